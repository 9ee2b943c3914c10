"""An outbox for regiment in a database of SQLAlchemy: pushes that are rows of the caller's transaction.

mail = Queue("mail", plugins=[Outbox(url="postgresql+psycopg://shop@db/shop")])
with Session(engine) as session, session.begin():
    enqueue(session, send_receipt, order=7)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from regiment import lazily

__all__ = [
    *lazily(
        globals(),
        {
            "choice": "Outbox",
            "enqueueing": "aenqueue aenqueue_many enqueue enqueue_many",
            "schema": "metadata outbox",
        },
    )
]

if TYPE_CHECKING:
    from regiment_sqlalchemy.choice import Outbox as Outbox
    from regiment_sqlalchemy.enqueueing import aenqueue as aenqueue
    from regiment_sqlalchemy.enqueueing import aenqueue_many as aenqueue_many
    from regiment_sqlalchemy.enqueueing import enqueue as enqueue
    from regiment_sqlalchemy.enqueueing import enqueue_many as enqueue_many
    from regiment_sqlalchemy.schema import metadata as metadata
    from regiment_sqlalchemy.schema import outbox as outbox
