"""Waiting for records: who follows stands in `follows`, one document for each key and inbox; a mark is a field of it.

Register and read are one step in this sense (V1): `follow` first writes that somebody follows (`flag`, then the keys) and then reads; who
keeps a record first writes it and then asks who follows, in the same request. Both speak to the primary. So whichever comes second sees the
other. Marks outlive a connection, because they are documents; the hint in `wakes` only says where to look.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import pymongo
from bson import ObjectId
from pymongo import WriteConcern

from regiment.contracts import ANSWERED_VALUE, Record
from regiment_mongo.effects import Line
from regiment_mongo.layout import Document
from regiment_mongo.moments import date
from regiment_mongo.records import SLACK, Records, flag, rid

MOST = 1000
"""Keys of a request; marks that are heard at a time."""

Key = tuple[str, str]


class Follows(Records):
    """Who follows, and who is called."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.inbox = ""
        self.more = False
        """True if more marks were there than were read."""
        self.following: dict[Key, int] = {}
        """What this connector follows, and from which rank on."""

    # Who keeps

    def call(self, kept: Sequence[Line]) -> None:
        """Leave a mark for everybody who follows one of these records, and wake them."""
        ranks = {rid(line[1], line[2]): line[5] for line in kept}
        ids = list(ranks)
        for begin in range(0, len(ids), MOST):
            query = {"k": {"$in": ids[begin : begin + MOST]}, "$expr": {"$gt": ["$ex", "$$NOW"]}}
            found = [row for row in self._follows.find(query, hint="key") if ranks[row["k"]] >= row["r"]]
            if not found:
                continue
            marks = {"q": {"_id": {"$in": [row["_id"] for row in found]}}, "u": {"$set": {"m": 1}}, "multi": True}
            self.ask({"update": self._follows.name, "updates": [marks]}, self.firm)
            hints = [{"k": "r", "q": inbox} for inbox in dict.fromkeys(row["i"] for row in found)]
            try:
                self._wakes.with_options(write_concern=WriteConcern(w=0)).insert_many(hints)
            except (pymongo.errors.PyMongoError, OSError):
                pass

    # Who waits

    def follow(self, keys: Mapping[Key, int], seconds: float) -> dict[Key, Record]:
        """Register, then read: the records that are there with at least the rank given."""
        if not self.inbox:
            self.inbox = os.urandom(9).hex()
        self._flag({queue for queue, _ in keys}, seconds)
        until = date(self.server_time() + int(seconds * 1000))
        wanted = list(keys.items())
        for begin in range(0, len(wanted), MOST):
            statements = []
            for (queue, key), rank in wanted[begin : begin + MOST]:
                id = rid(queue, key)
                fields = {"k": id, "q": queue, "i": self.inbox, "r": rank, "ex": until}
                statements.append({"q": {"_id": f"{self.inbox} {id}"}, "u": {"$set": fields}, "upsert": True})
            self.ask({"update": self._follows.name, "ordered": False, "updates": statements}, self.firm)
        found = self.found([rid(*name) for name in keys])
        answer: dict[Key, Record] = {}
        for name, rank in keys.items():
            record = found.get(rid(*name))
            if record is not None and record.rank >= rank:
                answer[name] = record
                self.following.pop(name, None)
            else:
                self.following[name] = rank
        return answer

    def _flag(self, queues: set[str], seconds: float) -> None:
        """Have everybody who keeps a record of these queues ask who follows."""
        ends = {"$max": ["$until", {"$add": ["$$NOW", int(seconds * 1000) + SLACK]}]}
        later = [{"$set": {"until": ends, "gc": ends}}]
        statements = [{"q": {"_id": flag(queue)}, "u": later, "upsert": True} for queue in queues]
        if statements:
            self.ask({"update": self._records.name, "updates": statements}, self.firm)

    def marked(self) -> dict[Key, Record | None]:
        """What was kept of what this connector follows. A mark is read before its record and goes after it."""
        query = {"i": self.inbox, "m": 1}
        marks = list(self._follows.find(query, {"k": 1, "q": 1}, hint="inbox").limit(MOST))
        self.more = len(marks) == MOST
        if not marks:
            return {}
        answer, late = self._judged(marks)
        if late:
            # Kept with too low a rank for what is followed now: the mark goes, and what is kept after that leaves another.
            self._unmark_follows([mark["_id"] for mark in late])
            more, late = self._judged(late)
            answer |= more
        going = {mark["_id"] for mark in marks} - {mark["_id"] for mark in late}
        gone = {"q": {"_id": {"$in": list(going)}}, "limit": 0}
        self.ask({"delete": self._follows.name, "deletes": [gone]})
        for name in answer:
            self.following.pop(name, None)
        return answer

    def _unmark_follows(self, ids: list[ObjectId]) -> None:
        change = {"q": {"_id": {"$in": ids}}, "u": {"$unset": {"m": 1}}, "multi": True}
        self.ask({"update": self._follows.name, "updates": [change]})

    def _judged(self, marks: list[Document]) -> tuple[dict[Key, Record | None], list[Document]]:
        """What the marks say, and those whose record has too low a rank; the record itself if it is small (V5)."""
        found = self.found([mark["k"] for mark in marks])
        answer: dict[Key, Record | None] = {}
        late: list[Document] = []
        for mark in marks:
            name = mark["q"], mark["k"][len(mark["q"]) + 1 :]
            rank = self.following.get(name)
            if rank is None:
                continue  # heard already, or answered by `follow`
            record = found.get(mark["k"])
            if record is not None and record.rank < rank:
                late.append(mark)
            else:
                answer[name] = record if record is not None and len(record.value) <= ANSWERED_VALUE else None
        return answer, late
