"""Sending on what an outbox has: records, children, joins and what these do in turn. All of it may be done again without harm."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pymongo
from bson import ObjectId
from pymongo import WriteConcern

from regiment.errors import StoreUnavailable
from regiment_mongo.base import LASTING
from regiment_mongo.children import Children
from regiment_mongo.effects import INLINE, Line, chunks, size
from regiment_mongo.errors import translated
from regiment_mongo.following import Follows
from regiment_mongo.joins import Joins, fired
from regiment_mongo.layout import Document
from regiment_mongo.moments import date

MONTH = 30 * 86_400_000
"""Milliseconds after which large effects are deleted that no step refers to: its process died before its write."""

ELSEWHERE = 0.5
"""Seconds that another cluster may take for what is passed on to it: it must not use up the time of what is here."""

REST = 1.0
"""Seconds that a cluster which did not answer is left alone."""


class Relays(Children, Follows, Joins):
    """From an outbox to where it belongs."""

    home: Callable[[str], Any] | None = None
    """Which of several clusters has the records, joins and children of a queue; None if there is one."""
    _slowly = False

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._away: dict[int, float] = {}
        """Until when another cluster is left alone."""

    @property
    def firm(self) -> WriteConcern | None:
        return LASTING if self._slowly else super().firm

    @contextmanager
    def lasting_relays(self) -> Iterator[None]:
        """What is relayed inside is in the journals of most members when it is answered. So its entry may go over any
        connection.
        """
        self._slowly = True
        try:
            yield
        finally:
            self._slowly = False

    def stow(self, token: str, lines: Sequence[Line], room: int = INLINE) -> Document:
        """An entry with these lines. What has more than `room` bytes is stored now, in documents that count if the entry is written."""
        entry: Document = {"t": token, "on": int(self.clock.now())}
        if sum(map(size, lines)) <= room:
            return {**entry, "e": list(lines)}
        name, parts = str(ObjectId()), chunks(lines)
        for number, part in enumerate(parts):
            document = {"_id": f"{name} {number}", "e": part, "gc": date(entry["on"] + MONTH)}
            # The entry is written over another connection, perhaps at another primary.
            self.ask({"insert": self._outbox.name, "documents": [document]}, LASTING)
        return {**entry, "c": name, "m": len(parts)}

    def lines_of(self, entry: Document) -> list[Line]:
        """The effects of an entry. None if of large ones something is gone: then another has relayed all of it."""
        if "c" not in entry:
            return list(entry["e"])
        found: list[Line] = []
        for number in range(entry["m"]):
            part = self._outbox.find_one({"_id": f"{entry['c']} {number}"}, hint="_id_")
            if part is None:
                return []
            found += part["e"]
        return found

    def forget(self, entries: Sequence[Document]) -> None:
        """Delete the large effects of entries that are written nowhere any more."""
        ids = [f"{entry['c']} {number}" for entry in entries if "c" in entry for number in range(entry["m"])]
        if ids:
            self.ask({"delete": self._outbox.name, "deletes": [{"q": {"_id": {"$in": ids}}, "limit": 0}]})

    def relay(self, entry: Document) -> tuple[bool, set[int]]:
        """Send on all of an entry, and what the joins do that it completes. False if a cluster that should have some of it
        cannot be reached; the numbers of the payloads that are left out because their id was known.
        """
        work = [(entry, self.lines_of(entry))]
        left: set[int] = set()
        joins: list[Document] = []
        followed: list[Line] = []
        complete = True
        while work:
            one, lines = work.pop(0)
            mine, others = self._split(lines)
            followed += self._keep(one, mine)
            out = self._send(one, mine)
            if one is entry:
                left = out
            new = self._meet(one, mine)
            joins += new
            work += map(fired, new)
            for node, theirs in others:
                complete = self._pass_on(node, one, theirs) and complete
        if followed:
            self.call(followed)
        if complete:
            self._done(joins)
        return complete, left

    def _pass_on(self, node: Any, entry: Document, lines: list[Line]) -> bool:
        """Give another cluster what belongs there; False if it cannot be reached, and then it is left alone for a time."""
        if self._away.get(id(node), 0.0) > time.monotonic():
            return False
        try:
            with translated(node.shown, worked=True), pymongo.timeout(ELSEWHERE):
                if not node.is_open:
                    node.open(self._role)
                node.accept(entry, lines)
            return True
        except StoreUnavailable:
            self._away[id(node)] = time.monotonic() + REST
            return False

    def _split(self, lines: list[Line]) -> tuple[list[Line], list[tuple[Any, list[Line]]]]:
        """What belongs here, and what to other clusters."""
        if self.home is None:
            return lines, []
        parts: dict[int, tuple[Any, list[Line]]] = {}
        for line in lines:
            node = self.home(line[1])
            parts.setdefault(id(node), (node, []))[1].append(line)
        mine = parts.pop(id(self), (self, []))[1]
        return mine, list(parts.values())

    def accept(self, entry: Document, lines: Sequence[Line]) -> None:
        """Take over what another cluster's step has for this one."""
        raise NotImplementedError
