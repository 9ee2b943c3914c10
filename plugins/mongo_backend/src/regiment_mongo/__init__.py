"""regiment's MongoDB connector.

from regiment_mongo import Mongo
config = WorkerConfig(name="mail", connector=Mongo(url="mongodb://db1,db2,db3/?replicaSet=rs0"))
"""

from __future__ import annotations

from regiment import lazily

__all__ = [*lazily(globals(), {"choice": "Mongo", "connector": "MongoConnector", "within": "enqueue wake_waiting"})]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from regiment_mongo.choice import Mongo as Mongo
    from regiment_mongo.connector import MongoConnector as MongoConnector
    from regiment_mongo.within import enqueue as enqueue
    from regiment_mongo.within import wake_waiting as wake_waiting
