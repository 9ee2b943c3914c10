"""Who is told when something opens, and who is woken for room: one of those who wait, not all.

One document a queue in `spots` ("!queue") names the consumer that was told (`w`) and until when that counts (`till`), and some of those that
sleep beside it (`sl`). When the one that was told leases, it wakes one of them, by a hint for it alone; that one looks, and is told.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

from regiment_mongo.layout import Document
from regiment_mongo.ledger import Facts, Row
from regiment_mongo.moments import NOW
from regiment_mongo.ruling import Ruled
from regiment_mongo.spots import Rules, spots_of
from regiment_mongo.wake import Waits

SLEEPERS = 64
"""Consumers that are remembered as waiting; one that is forgotten looks again after its recheck."""

DEAD = 1_000
"""Milliseconds after which one that was told and has not come is taken for dead."""


class Tells(Ruled, Waits):
    """For exchanges, and for `wait`."""

    _facts: dict[str, Facts]

    def tell_one(self, queue: str, row: Row, facts: Facts, opens: float) -> None:
        """Have this consumer be told when something opens, at `opens` (milliseconds of the server), unless another one is."""
        self.attend(row.id)
        me: Any = {"$literal": row.id}
        free = {
            "$or": [
                {"$in": [{"$ifNull": ["$w", None]}, [None, me]]},
                {"$lt": ["$till", NOW]},
                {"$gt": ["$at", int(opens) + 1]},
            ]
        }
        others = {"$filter": {"input": {"$ifNull": ["$sl", []]}, "cond": {"$ne": ["$$this", me]}}}
        told = {"w": me, "at": int(opens), "till": int(opens) + DEAD, "sl": others}
        waits = {"sl": {"$slice": [{"$concatArrays": [others, [me]]}, -SLEEPERS]}}
        found = self.ask(
            {
                "findAndModify": self._spots.name,
                "query": {"_id": f"!{queue}"},
                "update": [{"$replaceWith": {"$mergeObjects": ["$$ROOT", {"$cond": [free, told, waits]}]}}],
                "upsert": True,
                "new": True,
                "fields": {"w": 1},
            }
        )["value"]
        if found["w"] == row.id:
            facts.told[row.id] = self.clock.when(int(opens))

    def room_made(self, queue: str, rules: Rules, ended: Iterable[Document], taken: Iterable[Document]) -> None:
        """Wake who waits for room if these have made more than others have taken."""
        if rules.counts:
            left = Counter(key for item in ended for key in spots_of(item))
            left.subtract(key for item in taken for key in spots_of(item))
            if any(n > 0 and (rule := rules.of(key)) is not None and rule.at_once for key, n in left.items()):
                self.poke(queue)

    # Waiting

    def attend(self, consumer: str) -> None:
        """Hear what is for this consumer alone, from now on."""
        self._seen[f"c:{consumer}"] = self.listener().count(f"c:{consumer}")

    def is_called(self, queue: str, consumer: str) -> bool:
        """Whether something was for this consumer alone, or what it was told of has come."""
        topic = f"c:{queue} {consumer}"
        seen, at = self._seen.get(topic), self.opens(queue, consumer)
        called = seen is not None and self.listener().count(topic) != seen
        return called or (at is not None and at <= time.monotonic())

    def opens(self, queue: str, consumer: str) -> float | None:
        """When something opens of which this consumer was told, by the monotonic clock."""
        facts = self._facts.get(queue)
        return None if facts is None else facts.told.get(f"{queue} {consumer}")
