"""regiment's MongoDB connector.

from regiment_mongo import Mongo
config = WorkerConfig(name="mail", connector=Mongo(url="mongodb://db1,db2,db3/?replicaSet=rs0"))
"""

from __future__ import annotations

__all__ = ["Mongo", "MongoConnector"]

_HOME = {"Mongo": "choice", "MongoConnector": "connector"}

TYPE_CHECKING = False
if TYPE_CHECKING:
    from regiment_mongo.choice import Mongo as Mongo
    from regiment_mongo.connector import MongoConnector as MongoConnector


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'regiment_mongo' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"regiment_mongo.{_HOME[name]}"), name)
