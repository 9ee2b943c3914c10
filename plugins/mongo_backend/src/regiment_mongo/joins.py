"""Joins: a set of members, as bits in 64 words, complete once. A join is one document of `joins`.

`a0` … `a63` are the words of who has arrived; a bit that is set again stays set. `o` names who opened it (absent: a shell), `m` its members, `sl`
what a seal says, `sh` whether it is shut, `t` what it does when it is complete, `c` 1 from the moment when it is complete, and 2 when all of
that is done; `tl` its time to live, `gc` its end. Bits are only added and the number of members is said once; so "all are there" stays
true once it is, and one guarded write decides against a `Shut` that comes at the same moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bson import Int64
from pymongo.errors import DuplicateKeyError

from regiment.contracts import Tally
from regiment_mongo.base import DUPLICATE, Base
from regiment_mongo.effects import ARRIVE, JOIN, SEAL, SHUT, WEEK, Line, version
from regiment_mongo.layout import Document
from regiment_mongo.moments import date

WORD, WORDS = 64, 64
MISSING = 100
"""How many members that are missing a tally names."""
COMPLETE, FIRED = 1, 2
MOST = 1000
"""Joins that are asked for at a time."""

_ALIVE: Document = {"$gt": [{"$ifNull": ["$gc", {"$add": ["$$NOW", 1]}]}, "$$NOW"]}
"""A document without an end has just been made by an arrival, whose next statement sets it."""
_HERE: Document = {"$cond": [_ALIVE, "$$ROOT", {"_id": "$_id"}]}
"""What is there, or nothing of it when its time is over."""
_OPENED: Document = {"$gt": ["$o", None]}


def jid(queue: str, name: str) -> str:
    """The `_id` of a join."""
    return f"{queue} {name}"


class Joins(Base):
    """Joins of all queues."""

    def _meet(self, entry: Document, lines: Sequence[Line]) -> list[Document]:
        """Apply what a step says of joins, in its order; the documents of those that are complete now and not done."""
        fired: dict[str, Document] = {}
        part: list[tuple[str, int, Line]] = []
        touched: set[str] = set()
        for place, line in enumerate(lines):
            if line[0] not in (JOIN, ARRIVE, SEAL, SHUT):
                continue
            id = jid(line[1], line[2])
            if line[0] == SHUT and id in touched:
                # What came before it may have completed it.
                fired |= self._meet_some(entry, part)
                part, touched = [], set()
            part.append((id, place, line))
            touched.add(id)
        fired |= self._meet_some(entry, part)
        return list(fired.values())

    def _meet_some(self, entry: Document, part: list[tuple[str, int, Line]]) -> dict[str, Document]:
        if not part:
            return {}
        statements: list[Document] = []
        bits: dict[str, int] = {}
        for id, place, line in part:
            if line[0] == JOIN:
                statements.append(_opening(entry, id, place, line))
            elif line[0] == ARRIVE:
                bits[id] = bits.get(id, 0) | 1 << line[3]
            elif line[0] == SEAL:
                statements.append(_sealing(id, line))
            else:
                statements.append(_shutting(entry, id, line))
        self._arrive(bits, statements)
        return self._completed(list(dict.fromkeys(id for id, _, _ in part)))

    def _arrive(self, bits: dict[str, int], others: list[Document]) -> None:
        """Set the bits, then the other statements. A join whose time is over, and which the TTL index has not removed
        yet, is removed first.
        """
        left = bits
        while True:
            now = date(self.clock.now())
            count = len(left)
            statements = [_living(id, now, word) for id, word in left.items()]
            statements += [_arriving(id, word, now) for id, word in left.items()]
            statements += [_living(id, now) for id in left]
            command = {"update": self._joins.name, "ordered": False, "updates": [*statements, *others]}
            try:
                self.ask(command, self.firm)
                return
            except DuplicateKeyError as error:
                assert isinstance(error.details, dict)
                failed = {one["index"] for one in error.details["writeErrors"] if one["code"] == DUPLICATE}
            ids = list(left)
            left = {ids[index - count]: left[ids[index - count]] for index in failed if index < 2 * count}
            others = [one for index, one in enumerate(others, 3 * count) if index in failed]
            old = {"q": {"_id": {"$in": list(left)}, "gc": {"$lte": date(self.clock.now())}}, "limit": 0}
            self.ask({"delete": self._joins.name, "deletes": [old]}, self.firm)

    def _completed(self, ids: list[str]) -> dict[str, Document]:
        """Those of the joins that are complete and whose effects are not all done, whoever completed them."""
        found: dict[str, Document] = {}
        for begin in range(0, len(ids), MOST):
            some = {"_id": {"$in": ids[begin : begin + MOST]}}
            for row in self._joins.find(some, {"t": 0}, hint="_id_"):
                if "sh" in row or row.get("c") == FIRED or not _is_full(row):
                    continue
                decided = self.ask(
                    {
                        "findAndModify": self._joins.name,
                        "query": {"_id": row["_id"], "o": row["o"], "sh": {"$exists": False}, "c": {"$exists": False}},
                        "update": {
                            "$set": {"c": COMPLETE, "on": int(self.clock.now())},
                            "$currentDate": {"ov": {"$type": "timestamp"}},
                        },
                        "new": True,
                    },
                    self.firm,
                )["value"]
                if decided is None:
                    decided = self._joins.find_one({"_id": row["_id"], "o": row["o"], "c": COMPLETE}, hint="_id_")
                if decided is not None:
                    found[row["_id"]] = decided
        return found

    def _done(self, joins: Sequence[Document]) -> None:
        """Note that the effects of these joins are done: of one that another made complete before that other, so that what
        was cut off is found again from its beginning.
        """
        statements = [
            {"q": {"_id": join["_id"], "o": join["o"]}, "u": {"$set": {"c": FIRED}, "$unset": {"t": 1}}}
            for join in reversed(joins)
        ]
        if statements:
            self.ask({"update": self._joins.name, "updates": statements}, self.firm)

    def tallies(self, queue: str, joins: Sequence[str]) -> Sequence[Tally | None]:
        found: dict[str, Tally] = {}
        ids = list(dict.fromkeys(jid(queue, name) for name in joins))
        for begin in range(0, len(ids), MOST):
            query = {"_id": {"$in": ids[begin : begin + MOST]}, "$expr": _ALIVE}
            for row in self._joins.find(query, {"t": 0}, hint="_id_"):
                found[row["_id"]] = _tally(row)
        return [found.get(jid(queue, name)) for name in joins]


def fired(join: Document) -> tuple[Document, list[Line]]:
    """What a complete join leaves behind: an entry of its own, and its lines."""
    return {"t": join["o"], "on": join["on"], "v": version(join["ov"])}, join["t"]


def _arriving(id: str, bits: int, now: Any) -> Document:
    words = {f"a{at}": {"or": Int64(word - (1 << WORD) if word >> (WORD - 1) else word)} for at, word in _words(bits)}
    return {"q": {"_id": id, "gc": {"$not": {"$lte": now}}}, "u": {"$bit": words}, "upsert": True}


def _words(bits: int) -> list[tuple[int, int]]:
    """The words that are not 0, and where they are."""
    every = [(at, bits >> (at * WORD) & ((1 << WORD) - 1)) for at in range(WORDS)]
    return [(at, word) for at, word in every if word]


def _living(id: str, now: Any, bits: int | None = None) -> Document:
    """Its time to live counts anew: if one of these members has not arrived yet; without members, if it has just been made."""
    ends = {"$add": ["$$NOW", {"$ifNull": ["$tl", int(WEEK * 1000)]}]}
    if bits is None:
        return {"q": {"_id": id, "gc": {"$exists": False}}, "u": [{"$set": {"gc": ends}}]}
    news: list[Document] = []
    for at, word in _words(bits):
        places = [place for place in range(WORD) if word >> place & 1]
        news += [{f"a{at}": {"$exists": False}}, {f"a{at}": {"$bitsAnyClear": places}}]
    return {"q": {"_id": id, "gc": {"$gt": now}, "$or": news}, "u": [{"$set": {"gc": ends}}]}


def _opening(entry: Document, id: str, place: int, line: Line) -> Document:
    fields = {
        "o": f"{entry['t']} {place}",
        "m": line[3],
        "t": line[4],
        "tl": int(line[5] * 1000),
        "gc": date(entry["on"] + int(line[5] * 1000)),
    }
    opened = {name: {"$literal": value} for name, value in fields.items()}
    is_there = {"$and": [_ALIVE, {"$or": [_OPENED, {"$gt": ["$sh", None]}]}]}
    new = {"$cond": [is_there, "$$ROOT", {"$mergeObjects": [_HERE, opened]}]}
    return {"q": {"_id": id}, "u": [{"$replaceWith": new}], "upsert": True}


def _sealing(id: str, line: Line) -> Document:
    says = {"$or": [{"$gt": ["$sl", None]}, {"$gt": ["$m", None]}, {"$gt": ["$sh", None]}, {"$gt": ["$c", None]}]}
    week = {"$add": ["$$NOW", int(WEEK * 1000)]}
    sealed = {"sl": {"$literal": line[3]}, "gc": {"$cond": [{"$and": [_ALIVE, {"$gt": ["$gc", None]}]}, "$gc", week]}}
    new = {"$cond": [{"$and": [_ALIVE, says]}, "$$ROOT", {"$mergeObjects": [_HERE, sealed]}]}
    return {"q": {"_id": id}, "u": [{"$replaceWith": new}], "upsert": True}


def _shutting(entry: Document, id: str, line: Line) -> Document:
    end = {"$literal": date(entry["on"] + int(line[3] * 1000))}
    shut = {"sh": True, "gc": {"$cond": [{"$and": [_ALIVE, _OPENED]}, "$gc", end]}}
    is_complete = {"$and": [_ALIVE, {"$gt": ["$c", None]}]}
    new = {"$cond": [is_complete, "$$ROOT", {"$mergeObjects": [_HERE, shut]}]}
    return {"q": {"_id": id}, "u": [{"$replaceWith": new}], "upsert": True}


def _members(row: Document) -> int | None:
    """How many members it has, as far as that is known."""
    if "o" not in row:
        return None
    members: int | None = row.get("sl") if row["m"] is None else row["m"]
    return members


def _bits(row: Document) -> int:
    return sum((row.get(f"a{n}", 0) & ((1 << WORD) - 1)) << (n * WORD) for n in range(WORDS))


def _is_full(row: Document) -> bool:
    members = _members(row)
    if members is None:
        return False
    every = (1 << members) - 1
    return _bits(row) & every == every


def _tally(row: Document) -> Tally:
    members, bits = _members(row), _bits(row)
    complete, shut = "c" in row, "sh" in row
    if members is None:
        return Tally(None, bits.bit_count(), complete, shut)
    bits &= (1 << members) - 1
    missing: list[int] = []
    for member in range(members):
        if not bits >> member & 1:
            missing.append(member)
            if len(missing) == MISSING:
                break
    return Tally(members, bits.bit_count(), complete, shut, missing)
