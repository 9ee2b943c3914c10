"""The collections, their indexes and the layout's version. `docs/mongo.md` tells what is in them and who deletes it."""

from __future__ import annotations

from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import CollectionInvalid, OperationFailure

from regiment.errors import StoreError

LAYOUT = 2
WAKES_BYTES = 256 * 1024
EXISTS = 48

Document = dict[str, Any]
Store = Collection[Document]

INDEXES: dict[str, list[IndexModel]] = {
    "tasks": [
        IndexModel(
            [("q", ASCENDING), ("p", ASCENDING), ("s", ASCENDING)],
            name="ready",
            partialFilterExpression={"s": {"$exists": True}},
        ),
        IndexModel(
            [("q", ASCENDING), ("at", ASCENDING), ("d", ASCENDING)],
            name="delayed",
            partialFilterExpression={"at": {"$exists": True}},
        ),
        IndexModel(
            [("q", ASCENDING), ("i", ASCENDING)],
            name="ids",
            partialFilterExpression={"i": {"$exists": True}},
        ),
        IndexModel(
            [("tk", ASCENDING)],
            name="token",
            unique=True,
            partialFilterExpression={"tk": {"$exists": True}},
        ),
        IndexModel(
            [("ex", ASCENDING)],
            name="window",
            expireAfterSeconds=0,
            partialFilterExpression={"ex": {"$exists": True}},
        ),
    ],
    "consumers": [
        # R10 of the store: no two consumers can hold the same task, because no two documents can list it.
        IndexModel([("held.t", ASCENDING)], name="held", unique=True),
        IndexModel([("q", ASCENDING), ("st", ASCENDING)], name="queue"),
        IndexModel(
            [("q", ASCENDING), ("until", ASCENDING)],
            name="deadline",
            partialFilterExpression={"h": {"$gt": 0}},
        ),
        IndexModel([("gone", ASCENDING)], name="gone", expireAfterSeconds=0),
    ],
    "dead": [
        IndexModel([("q", ASCENDING), ("at", DESCENDING), ("d", DESCENDING)], name="newest"),
        IndexModel([("q", ASCENDING), ("t", ASCENDING)], name="task"),
        IndexModel([("ex", ASCENDING)], name="age", expireAfterSeconds=0),
    ],
    "ids": [IndexModel([("ex", ASCENDING)], name="window", expireAfterSeconds=0)],
    "tokens": [IndexModel([("ex", ASCENDING)], name="window", expireAfterSeconds=0)],
    "values": [IndexModel([("ex", ASCENDING)], name="ttl", expireAfterSeconds=0)],
    "locks": [IndexModel([("ex", ASCENDING)], name="ttl", expireAfterSeconds=0)],
    "presence": [IndexModel([("ex", ASCENDING)], name="ttl", expireAfterSeconds=0)],
    "queues": [],
}


def check(database: Database[Document], prefix: str, shown: str) -> bool:
    """Whether the layout is there, and this one; `StoreError` if a newer release made it."""
    found = database[f"{prefix}.meta"].find_one({"_id": "layout"})
    if found is None:
        return False
    version = found.get("version")
    if not isinstance(version, int) or version > LAYOUT:
        raise StoreError(
            f"{shown} has layout {version!r} and this regiment-mongo knows layouts up to {LAYOUT}; upgrade regiment-mongo here"
        )
    return version == LAYOUT


def create(database: Database[Document], prefix: str) -> None:
    """Make collections and indexes; harmless when several processes do it at once. The version is written last."""
    _make(database, f"{prefix}.wakes", capped=True, size=WAKES_BYTES)
    for name, indexes in INDEXES.items():
        if indexes:
            database[f"{prefix}.{name}"].create_indexes(indexes)
        else:
            _make(database, f"{prefix}.{name}")
    database[f"{prefix}.wakes"].insert_one({"k": "layout"})
    database[f"{prefix}.meta"].update_one({"_id": "layout"}, {"$max": {"version": LAYOUT}}, upsert=True)


def _make(database: Database[Document], name: str, **options: Any) -> None:
    try:
        database.create_collection(name, **options)
    except CollectionInvalid:
        pass
    except OperationFailure as error:
        # Another process made it between the driver's look and its request.
        if error.code != EXISTS:
            raise


def missing(database: Database[Document], prefix: str) -> list[str]:
    """Names of indexes that should be there and are not."""
    absent = []
    for name, indexes in INDEXES.items():
        there = set(database[f"{prefix}.{name}"].index_information())
        absent += [f"{prefix}.{name}/{i.document['name']}" for i in indexes if i.document["name"] not in there]
    return absent
