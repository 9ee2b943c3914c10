"""The collections, their indexes and the layout's version. `docs/mongo.md` tells what is in them and who deletes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import CollectionInvalid, OperationFailure

from regiment.errors import StoreError

LAYOUT = 2
WAKES_BYTES = 256 * 1024
EXISTS = 48
CONFLICTS = {67, 85, 86, 11000}
"""Codes of an index that cannot be made: another is there under its name, or documents are not unique."""

FOR_PUSH = ("tasks", "tokens", "ids")
"""What a producer looks at: it asks for less than a worker, for it may live for one push."""

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
        IndexModel(
            [("q", ASCENDING), ("oa", ASCENDING)],
            name="left",
            partialFilterExpression={"oa": {"$exists": True}},
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
    "records": [
        IndexModel([("gc", ASCENDING)], name="ttl", expireAfterSeconds=0),
        IndexModel(
            [("q", ASCENDING), ("l", DESCENDING)],
            name="listed",
            partialFilterExpression={"l": {"$exists": True}},
        ),
    ],
    "joins": [IndexModel([("gc", ASCENDING)], name="ttl", expireAfterSeconds=0)],
    "outbox": [
        IndexModel([("gc", ASCENDING)], name="ttl", expireAfterSeconds=0),
        IndexModel([("q", ASCENDING)], name="pending", partialFilterExpression={"p": {"$exists": True}}),
    ],
    "follows": [
        IndexModel([("k", ASCENDING)], name="key"),
        IndexModel([("i", ASCENDING)], name="inbox", partialFilterExpression={"m": {"$exists": True}}),
        IndexModel([("ex", ASCENDING)], name="ttl", expireAfterSeconds=0),
    ],
    "notices": [
        IndexModel([("q", ASCENDING)], name="queue"),
        IndexModel([("ex", ASCENDING)], name="ttl", expireAfterSeconds=0),
    ],
    "acts": [
        IndexModel([("q", ASCENDING), ("d", DESCENDING)], name="newest"),
        IndexModel([("ex", ASCENDING)], name="ttl", expireAfterSeconds=0),
    ],
}

FLOW: dict[str, list[IndexModel]] = {
    "tasks": [
        IndexModel(
            [("q", ASCENDING), ("l", ASCENDING)],
            name="lanes",
            partialFilterExpression={"l": {"$exists": True}},
        ),
        # One task at most waits for a key, and one more as its successor.
        IndexModel([("u", ASCENDING)], name="keys", unique=True, partialFilterExpression={"u": {"$exists": True}}),
    ],
    "consumers": [
        # No two consumers hold one number of a spot, because no two documents can list it.
        IndexModel(
            [("slots", ASCENDING)], name="slots", unique=True, partialFilterExpression={"slots": {"$exists": True}}
        ),
        IndexModel([("us", ASCENDING)], name="keys", partialFilterExpression={"us": {"$exists": True}}),
    ],
    "spots": [IndexModel([("ex", ASCENDING)], name="ttl", expireAfterSeconds=0)],
    "rates": [IndexModel([("ex", ASCENDING)], name="ttl", expireAfterSeconds=0)],
    "keys": [IndexModel([("ex", ASCENDING)], name="ttl", expireAfterSeconds=0)],
}
"""What the first ticket or rule of any queue has made."""


def create_flow(database: Database[Document], prefix: str) -> None:
    """Make what tickets and rules need."""
    for name, indexes in FLOW.items():
        database[f"{prefix}.{name}"].create_indexes(indexes)
    database[f"{prefix}.meta"].update_one({"_id": "layout"}, {"$set": {"flow": True}}, upsert=True)


class NewerLayout(StoreError):
    """A newer release has made what lies there."""

    rule = "ST04"
    """The rule of `regiment doctor` that says so."""


def check(database: Database[Document], prefix: str, shown: str) -> tuple[bool, bool]:
    """Whether the layout is there, and this one; and whether tickets or rules were ever used; `StoreError` if a newer release made it."""
    found = database[f"{prefix}.meta"].find_one({"_id": "layout"})
    if found is None:
        return False, False
    version = found.get("version")
    if not isinstance(version, int) or version > LAYOUT:
        raise NewerLayout(
            f"{shown} has layout {version!r} and this regiment-mongo knows layouts up to {LAYOUT}; upgrade regiment-mongo here"
        )
    return version == LAYOUT, bool(found.get("flow"))


def create(database: Database[Document], prefix: str, shown: str, flow: bool = False) -> None:
    """Make collections and indexes that are not there; harmless when several processes do it at once. The version is written
    last. `StoreError` if something is there that cannot be made what it should be. `flow`: with those for tickets and rules.
    """
    cap(database, prefix)
    for name, indexes in [*INDEXES.items(), *(FLOW.items() if flow else ())]:
        if not indexes:
            _make(database, f"{prefix}.{name}")
            continue
        try:
            database[f"{prefix}.{name}"].create_indexes(indexes)
        except OperationFailure as error:
            if error.code not in CONFLICTS:
                raise
            raise StoreError(
                f"{shown}: the indexes of {prefix}.{name} cannot be made as they have to be ({error.details and error.details.get('errmsg')});"
                " remove the index or the documents that are in the way, and start again"
            ) from error
    change: Document = {"$max": {"version": LAYOUT}, **({"$set": {"flow": True}} if flow else {})}
    database[f"{prefix}.meta"].update_one({"_id": "layout"}, change, upsert=True)


def cap(database: Database[Document], prefix: str) -> None:
    """Have the hints in a capped collection: a push makes another where it was dropped, on which nobody can wait."""
    name = f"{prefix}.wakes"
    if not _is_capped(database, name):
        _make(database, name, capped=True, size=WAKES_BYTES)
        if not _is_capped(database, name):
            database.command({"convertToCapped": name, "size": WAKES_BYTES})
        database[name].insert_one({"k": "layout"})


def _is_capped(database: Database[Document], name: str) -> bool:
    found = next(iter(database.list_collections(filter={"name": name})), None)
    return found is not None and bool(found["options"].get("capped"))


def _make(database: Database[Document], name: str, **options: Any) -> None:
    try:
        database.create_collection(name, **options)
    except CollectionInvalid:
        pass
    except OperationFailure as error:
        # Another process made it between the driver's look and its request.
        if error.code != EXISTS:
            raise


def lacking(
    database: Database[Document], prefix: str, names: Sequence[str] = tuple(INDEXES), flow: bool = False
) -> list[str]:
    """What is not there, or not as it should be, of the collections with these names; `flow`: and of those for tickets and rules."""
    found = [] if _is_capped(database, f"{prefix}.wakes") else [f"{prefix}.wakes (capped)"]
    more = FLOW if flow else {}
    for name in dict.fromkeys((*names, *more)):
        wants = [*INDEXES.get(name, ()), *more.get(name, ())]
        there = database[f"{prefix}.{name}"].index_information() if wants else {}
        for index in wants:
            wanted = index.document
            if not _is_as(there.get(wanted["name"]), wanted):
                kind = " (unique)" if wanted.get("unique") else ""
                found.append(f"{prefix}.{name}/{wanted['name']}{kind}")
    return found


def _is_as(there: Any, wanted: Mapping[str, Any]) -> bool:
    if there is None or list(there["key"]) != list(wanted["key"].items()):
        return False
    options = ("unique", "expireAfterSeconds", "partialFilterExpression")
    return all((there.get(name) or None) == (wanted.get(name) or None) for name in options)
