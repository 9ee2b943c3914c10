"""Values, locks and presence: rows with an end, which the server's clock judges and a TTL index removes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from regiment_mongo.base import Base
from regiment_mongo.layout import Document
from regiment_mongo.moments import EPOCH

MOST_MS = 10**14


def _end(ttl: float) -> Document:
    return {"$add": ["$$NOW", min(int(ttl * 1000), MOST_MS)]}


ALIVE: Document = {"$expr": {"$gt": [{"$ifNull": ["$ex", "$$NOW"]}, "$$NOW"]}}
"""Its time has not passed. A row without an end is asked for by `{"ex": None}`."""


class Keeps(Base):
    """Small things under a name."""

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        fields: Document = {"b": {"$literal": value}}
        update: list[Document] = [{"$set": fields}]
        if ttl is None:
            update.append({"$unset": "ex"})
        else:
            fields["ex"] = _end(ttl)
        self._values.with_options(write_concern=self.durable()).update_one({"_id": key}, update, upsert=True)

    def get(self, key: str) -> bytes | None:
        row = self._values.find_one({"_id": key, "$or": [{"ex": None}, ALIVE]}, {"b": 1})
        return None if row is None else bytes(row["b"])

    def delete(self, key: str) -> bool:
        values = self._values.with_options(write_concern=self.durable())
        row = values.find_one_and_delete({"_id": key, "$or": [{"ex": None}, ALIVE]}, {"_id": 1})
        return row is not None

    # Locks: majority, because a failover must not give one lock to two owners.

    def lock_take(self, name: str, owner: str, ttl: float) -> bool:
        free = {
            "$or": [
                {"$eq": ["$o", {"$literal": owner}]},
                {"$lte": [{"$ifNull": ["$ex", "$$NOW"]}, "$$NOW"]},
            ]
        }
        update: list[Document] = [
            {"$set": {"free": free}},
            {
                "$set": {
                    "o": {"$cond": ["$free", {"$literal": owner}, "$o"]},
                    "ex": {"$cond": ["$free", _end(ttl), "$ex"]},
                }
            },
            {"$unset": "free"},
        ]
        locks = self._locks.with_options(write_concern=self.durable())
        try:
            row = locks.find_one_and_update({"_id": name}, update, upsert=True, return_document=ReturnDocument.AFTER)
        except DuplicateKeyError:
            return False  # two made it at the same moment, and this one came second
        return row is not None and bool(row["o"] == owner)

    def lock_free(self, name: str, owner: str) -> bool:
        locks = self._locks.with_options(write_concern=self.durable())
        freed = locks.delete_one({"_id": name, "o": owner, **ALIVE}).deleted_count == 1
        if freed:
            self.poke(name, "l")
        return freed

    def lock_look(self, name: str) -> tuple[str, float] | None:
        row = self._locks.find_one({"_id": name, **ALIVE})
        if row is None:
            return None
        left = (row["ex"] - EPOCH).total_seconds() - self.server_time() / 1000
        return row["o"], max(0.0, left)

    # Presence: renewed all the time, so it waits for no other member.

    def announce(self, key: str, value: bytes, ttl: float) -> None:
        update: list[Any] = [{"$set": {"b": {"$literal": value}, "ex": _end(ttl)}}]
        self._presence.update_one({"_id": key}, update, upsert=True)

    def presence(self) -> Mapping[str, bytes]:
        return {row["_id"]: bytes(row["b"]) for row in self._presence.find(ALIVE)}
