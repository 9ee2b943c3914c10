"""The keys of tasks that run: what a claim does with them. Whoever waits for a key has it in `u` ("=" the holder, "+" its successor), whoever
runs with one in its consumer's document; so a key ends in the very write that ends its task.
"""

from __future__ import annotations

from collections.abc import Sequence

from regiment_mongo.base import Base
from regiment_mongo.layout import Document
from regiment_mongo.ledger import Row
from regiment_mongo.outliving import HOLDER, NEXT


def hold_key(item: Document, now: float) -> None:
    """Have a task that is claimed hold its key, if it holds one while it runs."""
    until, end = item["f"][2], item["f"][6]
    if until == "start" or (end is not None and end <= now):
        del item["u"]


def taken_over(claimed: Sequence[Document]) -> frozenset[str]:
    """The keys that successors take over when they are claimed; they hold them from then on."""
    over = set()
    for item in claimed:
        if item.get("u", HOLDER).startswith(NEXT):
            item["u"] = HOLDER + item["u"][1:]
            over.add(item["u"])
    return frozenset(over)


def without(item: Document, keys: frozenset[str]) -> Document:
    """A task that runs, without its key if that is one of these."""
    return {field: value for field, value in item.items() if field != "u"} if item.get("u") in keys else item


class HeldKeys(Base):
    """For claims."""

    def strike_keys(self, row: Row, claimed: Sequence[Document]) -> None:
        """Have nobody else have the keys of these successors, which were claimed. After a kill before that, two tasks have the key: it
        is free when both have ended.
        """
        for item in claimed:
            key = item.get("u")
            if key is not None:
                self._tasks.update_many(
                    {"u": key, "rs": {"$exists": False}, "_id": {"$ne": item["t"]}}, {"$unset": {"u": 1}}
                )
                strike = {"$pull": {"us": key}, "$unset": {"held.$[one].u": 1}, "$inc": {"v": 1}}
                others = {"us": key, "_id": {"$ne": row.id}}
                self._consumers.update_many(others, strike, array_filters=[{"one.u": key}])
