"""Records: kept and dropped by rank, once for each token, and read. A record is one document of `records`.

A record remembers the tokens of the last `REMEMBERED` steps that kept or dropped it, for as long as it is there. So what is relayed twice
changes it once, in whatever order relays arrive. `ex` is its end, which readers judge; `gc` is when the TTL index may remove the document:
a dropped record leaves its version and its tokens for an hour.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pymongo.errors import DuplicateKeyError

from regiment.contracts import Record
from regiment_mongo.base import DUPLICATE, Base
from regiment_mongo.effects import CHUNK, Change, Line, changes, mark, size
from regiment_mongo.keep import ALIVE
from regiment_mongo.layout import Document
from regiment_mongo.moments import date

REMEMBERED = 16
TOMBSTONE = 3_600_000
"""Milliseconds that a dropped record's version is remembered, and a token where something is relayed: no relay is later."""
SLACK = 10_000
"""Milliseconds by which this process's idea of the server's clock may be wrong, and more."""
MOST_KEPT = 1000
"""Records that are sent at a time at most."""

THERE: Document = {"b": {"$exists": True}, "$or": [{"ex": None}, ALIVE]}
"""A record, and not what one that was dropped, or a condition, has left."""

_ALIVE: Document = {
    "$and": [
        {"$gt": ["$b", None]},
        {"$or": [{"$lte": ["$ex", None]}, {"$gt": ["$ex", "$$NOW"]}]},
    ]
}
"""The same in an expression."""
_TOKENS: Document = {"$ifNull": ["$ts", []]}


def rid(queue: str, key: str) -> str:
    """The `_id` of a record."""
    return f"{queue} {key}"


def flag(queue: str) -> Document:
    """The `_id` of the document that says that somebody follows records of a queue."""
    return {"f": queue}


def _sendable(found: list[tuple[tuple[str, str], Change]]) -> Iterator[list[tuple[tuple[str, str], Change]]]:
    """The same in parts that fit a request each: `MOST_KEPT` records of about `CHUNK` bytes, but one at least."""
    part: list[tuple[tuple[str, str], Change]] = []
    room = CHUNK
    for one in found:
        weight = 0 if one[1].keep is None else size(one[1].keep)
        if part and (weight > room or len(part) == MOST_KEPT):
            yield part
            part, room = [], CHUNK
        part.append(one)
        room -= weight
    if part:
        yield part


class Records(Base):
    """Records of all queues."""

    def _keep(self, entry: Document, lines: Sequence[Line]) -> list[Line]:
        """Apply what a step keeps and drops; what it has kept (or a higher rank has kept out) that somebody may follow."""
        wanted = changes(lines)
        followed: set[str] = set()
        for some in _sendable(list(wanted.items())):
            followed |= self._keep_some(entry, some)
        return [c.keep for c in wanted.values() if c.keep is not None and c.keep[1] in followed]

    def _keep_some(self, entry: Document, some: list[tuple[tuple[str, str], Change]]) -> set[str]:
        """Most records are kept once: so first they are inserted, and only those that are there already are looked at. The
        last statement of each request asks who follows, after the records are there. Returns the queues where somebody may.
        """
        queues = list(dict.fromkeys(queue for (queue, _), change in some if change.keep is not None))
        rest = [one for one in some if one[1].drops]
        new = [one for one in some if not one[1].drops]
        followed: set[str] = set()
        if new:
            statements = [
                {"q": {"_id": rid(*name)}, "u": {"$setOnInsert": _new(entry, change)}, "upsert": True}
                for name, change in new
            ]
            stored, failed, asked = self._ask_records(statements, queues)
            followed |= asked
            rest += [one for index, one in enumerate(new) if index not in stored or index in failed]
        while rest:
            statements = [
                # One that is part of somebody's condition just now is not matched, and then cannot be inserted.
                {
                    "q": {"_id": rid(*name), "lk.n": {"$in": [None, entry.get("n")]}},
                    "u": _over(entry, change),
                    "upsert": True,
                }
                for name, change in rest
            ]
            _, failed, asked = self._ask_records(statements, queues)
            followed |= asked
            rest = [rest[index] for index in sorted(failed)]
            for name, _ in rest:
                self.unlock(rid(*name))
        return followed

    def _ask_records(self, statements: list[Document], queues: list[str]) -> tuple[set[int], set[int], set[str]]:
        """Which statements inserted, which found something in their way, and at which queues somebody follows (all of
        them if one of several is followed).
        """
        past = date(self.clock.now() - SLACK)
        asks = [{"q": {"_id": flag(queue), "until": {"$gt": past}}, "u": {"$unset": {"-": 1}}} for queue in queues]
        command = {"update": self._records.name, "ordered": False, "updates": [*statements, *asks]}
        failed: set[int] = set()
        try:
            reply = self.ask(command, self.firm)
        except DuplicateKeyError as error:
            assert isinstance(error.details, dict)
            reply = dict(error.details)
            failed = {one["index"] for one in reply["writeErrors"] if one["code"] == DUPLICATE}
        stored = {one["index"] for one in reply.get("upserted", ())}
        anybody = reply["n"] > len(statements) - len(failed)
        return stored, failed, set(queues) if anybody else set()

    def unlock(self, id: str) -> None:
        """Have the condition that holds this record decided (`Applies`)."""
        raise NotImplementedError

    def records(self, queue: str, keys: Sequence[str]) -> Sequence[Record | None]:
        found = self.found([rid(queue, key) for key in keys])
        return [found.get(rid(queue, key)) for key in keys]

    def found(self, ids: Sequence[str]) -> dict[str, Record]:
        """The records with these `_id`s that are there."""
        found: dict[str, Record] = {}
        wanted = list(dict.fromkeys(ids))
        for begin in range(0, len(wanted), MOST_KEPT):
            query = {"_id": {"$in": wanted[begin : begin + MOST_KEPT]}, **THERE}
            for row in self._records.find(query, {"b": 1, "v": 1, "r": 1}, hint="_id_"):
                found[row["_id"]] = Record(bytes(row["b"]), row["v"], row["r"])
        return found

    def listed(self, queue: str, limit: int = 100, *, after: str | None = None) -> Sequence[str]:
        if limit <= 0:
            return []
        query: Document = {"q": queue, **THERE}
        if after is not None:
            behind = self._records.find_one({"_id": rid(queue, after), **THERE}, {"l": 1}, hint="_id_")
            if behind is None or "l" not in behind:
                return []
            query["l"] = {"$lt": behind["l"]}
        else:
            query["l"] = {"$exists": True}
        rows = self._records.find(query, {"_id": 1}, sort=[("l", -1)], limit=limit, hint="listed")
        return [row["_id"][len(queue) + 1 :] for row in rows]


def _fields(entry: Document, change: Change) -> Document:
    """What a record is when this step has kept it, but for its version and its tokens."""
    keep = change.keep
    assert keep is not None
    fields: Document = {"b": keep[3], "r": keep[5]}
    if keep[4] is not None:
        fields["ex"] = fields["gc"] = date(entry["on"] + int(keep[4] * 1000))
    if keep[6]:
        fields["q"], fields["l"] = keep[1], {"v": entry["v"], "n": change.place}
    return fields


def _new(entry: Document, change: Change) -> Document:
    return {**_fields(entry, change), "v": entry["v"], "ts": [mark(entry["t"])]}


def _over(entry: Document, change: Change) -> list[Document]:
    """The change of a record that is there already."""
    token = mark(entry["t"])
    higher = {"$max": [{"$add": [{"$ifNull": ["$v", 0]}, 1]}, entry["v"]]}
    remembered = {"$slice": [{"$concatArrays": [_TOKENS, [token]]}, -REMEMBERED]}
    known: Document = {
        "$or": [
            {"$in": [token, _TOKENS]},
            # So many others came after it that its own token may be forgotten.
            {"$and": [{"$gte": [{"$size": _TOKENS}, REMEMBERED]}, {"$gt": ["$v", entry["v"]]}]},
        ]
    }
    if change.keep is None:
        new: Document = {"gc": {"$literal": date(entry["on"] + TOMBSTONE)}}
        stays: Any = False
    else:
        new = {name: {"$literal": value} for name, value in _fields(entry, change).items()}
        stays = {"$and": [_ALIVE, {"$gt": ["$r", change.keep[5]]}]} if not change.drops else False
    new |= {"_id": "$_id", "v": higher, "ts": remembered}
    branches = [
        {"case": known, "then": "$$ROOT"},
        {"case": stays, "then": {"$mergeObjects": ["$$ROOT", {"ts": remembered}]}},
    ]
    return [{"$replaceWith": {"$switch": {"branches": branches, "default": new}}}]
