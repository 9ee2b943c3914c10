"""Rules and gates: the documents in `spots`, and the version in the queue's row by which everybody learns of a change.

A change is written, then the version is moved on, then every living consumer's guard: so what was claimed by the rule of before was claimed
before the change was answered.
"""

from __future__ import annotations

import time
from typing import Any

import pymongo
from pymongo import ReturnDocument

from regiment.contracts import FOREVER, Rule, Spot, check_rule, check_spot
from regiment_mongo import layout
from regiment_mongo.base import BUILD, LASTING, Base
from regiment_mongo.layout import Document
from regiment_mongo.moments import NOW
from regiment_mongo.spots import Rules, level, packed, spot_key

LEAST = -(2**31)
"""The highest priority there may be."""

LEARNED = 1.0
"""Seconds for which those who look do not ask again whether any queue has lanes."""


class Ruled(Base):
    """Who may have how much."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._flagged: set[str] = set()
        """Queues whose row says that they have seen a ticket or a rule."""
        self._rules: dict[str, Rules] = {}
        self._asked = float("-inf")

    def flag(self, queue: str) -> None:
        """Have everybody who leases from this queue look at its lanes, from now on: before the first ticket or rule."""
        if queue in self._flagged:
            return
        if not self._flows:
            with pymongo.timeout(BUILD):
                layout.create_flow(self._database, self._prefix)
            self._flows = True
        row = self._queues.find_one({"_id": queue}, {"fl": 1})
        if row is None or not row.get("fl"):
            self._move_on(queue)
        self._flagged.add(queue)

    def _move_on(self, queue: str) -> None:
        """Everybody learns that the rules of the queue have changed, before his next claim."""
        firm = self._queues.with_options(write_concern=LASTING)
        firm.update_one({"_id": queue}, {"$inc": {"fl": 1}}, upsert=True)
        self.refresh(queue)

    def has_lanes(self) -> bool:
        """For those who look: whether any queue here has seen a ticket or a rule. Asked once a second while none has."""
        now = time.monotonic()
        if not self._flows and now > self._asked + LEARNED:
            self._asked = now
            found = self._meta.find_one({"_id": "layout"}, {"flow": 1})
            self._flows = bool(found and found.get("flow"))
        return self._flows

    def by_priority(self, queue: str) -> list[Any]:
        """What `p` of ready tasks is, part by part in the order of their priorities: without lanes, and in them."""
        if not self.has_lanes():
            return [{"$gte": LEAST}]
        row = self._queues.find_one({"_id": queue, "fl": {"$gt": 0}}, {"ps": 1})
        if row is None:
            return [{"$gte": LEAST}]
        levels = sorted(row.get("ps", ()))
        return [part for p in levels for part in (p, {"$gte": level(p), "$lt": level(p + 1)})]

    def rules_of(self, queue: str, version: int) -> Rules:
        """The rules and gates of a queue whose row has this version."""
        known = self._rules.get(queue)
        if known is None or known.version != version:
            known = self._rules[queue] = self.read_rules(queue, version)
        return known

    def read_rules(self, queue: str, version: int) -> Rules:
        """The same, read now."""
        found = self._spots.find({"_id": {"$gte": f"{queue} ", "$lt": f"{queue}!"}}, batch_size=1000)
        return Rules(version, {document["_id"][len(queue) + 1 :]: document for document in found})

    def rule(self, queue: str, spot: Spot, rule: Rule | None, *, operator: bool = False, by: str = "") -> None:
        check_rule(spot, rule, by)
        field = "o" if operator else "c"
        if rule is None:
            self._change(queue, spot, {field: "$$REMOVE"})
        else:
            self._change(queue, spot, {field: {"$literal": [packed(rule), by]}})

    def gate(self, queue: str, spot: Spot, seconds: float | None) -> None:
        check_spot(spot)
        if not seconds or seconds < 0:
            self._change(queue, spot, {"g": "$$REMOVE"})
        elif seconds == FOREVER:
            self._change(queue, spot, {"g": FOREVER})
        else:
            later = {"$add": [NOW, int(seconds * 1000)]}
            self._change(queue, spot, {"g": {"$cond": [{"$eq": ["$g", FOREVER]}, FOREVER, later]}})

    def _change(self, queue: str, spot: Spot, fields: Document) -> None:
        """Change the document of a spot. One with nothing but a gate goes when that has opened."""
        self.flag(queue)
        opens = {
            "$and": [{"$lte": [{"$ifNull": ["$o", "$c"]}, None]}, {"$lt": [{"$ifNull": ["$g", FOREVER]}, FOREVER]}]
        }
        lasting = self._spots.with_options(write_concern=self.durable())
        row = lasting.find_one_and_update(
            {"_id": f"{queue} {spot_key(spot)}"},
            [{"$set": fields}, {"$set": {"ex": {"$cond": [opens, {"$toDate": {"$toLong": "$g"}}, "$$REMOVE"]}}}],
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        if row is not None and not row.keys() & {"o", "c", "g"}:
            empty = {"_id": row["_id"], **{field: {"$exists": False} for field in ("o", "c", "g")}}
            self._spots.delete_one(empty)
        # Twice: who reads the second version sees every claim that was made by the rules of before.
        self._move_on(queue)
        self._move_on(queue)
        self.poke(queue)

    def hand_over(self, queue: str, consumer: str) -> None:
        """If this consumer was the one that is told: another one that waits is woken."""
        found = self._spots.find_one_and_update(
            {"_id": f"!{queue}", "w": consumer}, {"$unset": {"w": 1}, "$pop": {"sl": 1}}
        )
        sleepers = [] if found is None else found.get("sl", ())
        if sleepers:
            self.poke(sleepers[-1], "c")
