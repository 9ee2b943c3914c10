"""The claim: read the first ready tasks, list them in the consumer's document, take them out of the waiting ones."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import pymongo
from bson import ObjectId, Timestamp
from pymongo import WriteConcern
from pymongo.errors import OperationFailure

from regiment_mongo.base import MAX_PAYLOAD, Stale
from regiment_mongo.keyed import HeldKeys, hold_key, taken_over, without
from regiment_mongo.lanes import Lanes
from regiment_mongo.layout import Document
from regiment_mongo.ledger import LIVE, Claim, Facts, Plan, Row, marks_of, weight

MOST_HELD = MAX_PAYLOAD + 512 * 1024
"""Bytes that one consumer holds at most; a claim that would exceed it waits until something is settled."""

FROM_START = 1.0
"""Seconds after which a search begins at the head of the queue again instead of behind what it took last."""

AHEAD = 16
"""Tasks that are read at a time at most where fewer are claimed at a time: one request of three is saved."""

FRESH = 0.05
"""Seconds for which what was read ahead is good. Who needs longer for his tasks reads them when he wants them."""

LIGHT = 4096
"""Bytes of a payload above which nothing is read ahead."""

HISTORY = 1.0
"""Seconds to wait for what was. A set has to have it on most of its members first."""


class Claims(Lanes, HeldKeys):
    """Who holds which task."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._remembers = True
        """Whether the set, if it is one, can tell what was when a claim was written."""

    def _ready(self, queue: str, facts: Facts, limit: int, start: bool = False) -> list[Document]:
        """The first ready tasks; none of a paused queue. The search begins behind what was taken last, because every search walks the index
        entries of what was removed (measured: twice the cost after 5,000); now and then it begins at the head.
        """
        if facts.paused:
            return []
        now = time.monotonic()
        if start or now - facts.started > FROM_START:
            facts.restart()
            facts.excluded.clear()
            facts.started = now
        if now - facts.read > FRESH and facts.ahead:
            facts.ahead, facts.reach = [], 1
        facts.old = len(facts.ahead) >= limit
        if facts.old:
            return facts.ahead[:limit]
        size = limit * self._reach(facts, limit, now) + len(facts.excluded)
        found: list[Document] = []
        levels: Sequence[int | None] = facts.priorities if facts.marks else (None,)
        for level in levels:
            query: Document = {"q": queue}
            if level is None:
                query["p"], query["s"] = {"$gte": -(2**31)}, {"$gte": 0}
            else:
                query["p"], query["s"] = level, {"$gte": facts.marks.get(level, 0)}
            wanted = size - len(found)
            if facts.contended and limit < 50:
                wanted = min(wanted * 4, wanted + 16)
            found += self.ask(
                {
                    "find": self._tasks.name,
                    "filter": query,
                    "sort": {"p": 1, "s": 1},
                    "hint": "ready",
                    "limit": wanted,
                    "batchSize": wanted,
                    "singleBatch": True,
                }
            )["cursor"]["firstBatch"]
            if len(found) >= size:
                break
        if facts.excluded:
            out = set(facts.excluded)
            found = [task for task in found if task["_id"] not in out]
        if facts.contended and len(found) > limit:
            # Others are claiming the same head: start a little behind it, each at a place of its own.
            skip = int.from_bytes(ObjectId().binary[-1:], "big") % (len(found) - limit + 1)
            facts.contended -= 1
            found = found[skip : skip + limit]
        facts.ahead, facts.read = found, now
        if found and limit < AHEAD:
            facts.light = max(len(task["b"]) for task in found) <= LIGHT
        return found[:limit]

    def _reach(self, facts: Facts, limit: int, now: float) -> int:
        """For how many exchanges to read: for more each time that all was claimed while it was fresh, if nobody else is in
        the way. Only where all have one priority: what is pushed is then behind what was read, and what comes back,
        or is the first of another priority, changes the guard of every consumer.
        """
        alone = len(facts.priorities) == 1 and now > facts.alone
        facts.reach = max(1, min(AHEAD // limit, facts.reach * 2)) if alone and facts.light else 1
        return facts.reach

    def _fitting(self, row: Row, plan: Plan, tasks: list[Document], base: int, max_bytes: int) -> list[Document]:
        """The tasks that fit, as items: their documents with a receipt, under the name `t`. They are read no more."""
        gone = set(plan.gone)
        room = MOST_HELD - sum(weight(item) for receipt, item in row.held.items() if receipt not in gone)
        held = len(row.held) - len(gone)
        items: list[Document] = []
        size = 0
        for number, task in enumerate(tasks, base):
            size += len(task["b"])
            room -= weight(task)
            if (items and size > max_bytes) or (room < 0 and (items or held)):
                break
            task["t"], task["r"] = task.pop("_id"), number
            del task["q"]
            task.pop("tk", None)
            if "u" in task:
                hold_key(task, self.clock.now())
            items.append(task)
        ahead = self._facts[row.queue].ahead
        if items and ahead and ahead[0] is items[0]:
            del ahead[: len(items)]
        return items

    def _write(self, row: Row, turn: int, base: int, plan: Plan, claimed: list[Document]) -> None:
        """The one write of an exchange: fence and turn in its filter; settlement and claim in its update. `Stale` if
        somebody changed the consumer; `DuplicateKeyError` (nothing done) if another holds one of these tasks.
        """
        gone, facts = set(plan.gone), self._facts[row.queue]
        over = taken_over(claimed)
        kept = {r: without(item, over) for r, item in row.held.items() if r not in gone}
        fields: Document = {
            "turn": turn,
            "base": base,
            "lost": plan.lost,
            "h": len(kept) + len(claimed),
        }
        update: Document = {"$set": fields, "$inc": {"v": 1}}
        if gone or claimed:
            if kept and claimed and not gone and not over:
                update["$push"] = {"held": {"$each": claimed}}
            elif kept and gone and not claimed:
                update["$pull"] = {"held": {"r": {"$in": plan.gone}}}
            else:
                fields["held"] = [{"t": row.id}, *kept.values(), *claimed]
        if row.before is not None:
            update["$unset"] = {"pre": 1}
        items = [*kept.values(), *claimed]
        row.mark(items, fields, update)
        if facts.flow and not row.slots:
            fields["sl"] = self.slots(row)
        facts.unproven = Claim(row.id, turn, None)
        # The removal that follows a claim waits for both.
        concern = self.firm if claimed else self.lasting(row)
        if row.out or plan.out is not None:
            reply = self._write_leaving(row, plan.out, update, concern)
        else:
            reply = self._guarded(row, update, concern)
        if self._is_set and self._remembers:
            facts.unproven = Claim(row.id, turn, reply.get("operationTime"))
        row.v += 1
        row.turn, row.base, row.lost, row.before = turn, base, plan.lost, None
        row.held = kept
        row.held.update((item["r"], item) for item in claimed)
        row.marked = marks_of(items).keys()
        self.strike_keys(row, [item for item in claimed if item.get("u") in over])

    def _write_leaving(
        self, row: Row, entry: Document | None, update: Document, concern: WriteConcern | None
    ) -> Document:
        """The same write where something is left behind, or was: what is relayed goes, what is new comes."""
        self.leave(row, entry, update["$set"], update)
        if entry is None:
            reply, at = self._guarded(row, update, concern), None
        else:
            at, reply = self.write_entry({"_id": row.id, "v": row.v, "st": LIVE}, update, concern)
        self.left(row, entry, at)
        return reply

    def _guarded(self, row: Row, update: Document, concern: WriteConcern | None = None) -> Document:
        """Change a living consumer's document if nobody else has changed it since it was read; else `Stale`."""
        change = {"q": {"_id": row.id, "v": row.v, "st": LIVE}, "u": update}
        reply = self.ask({"update": self._consumers.name, "updates": [change]}, concern)
        if reply["n"] != 1:
            raise Stale
        return reply

    def _affirm(self, row: Row) -> None:
        """Have the claim that this document shows stand on this connection, so that a removal may follow; `Stale` if it was
        undone, or changed, since it was read.
        """
        self._guarded(row, {"$inc": {"v": 1}}, self.firm)
        row.v += 1

    def _confirm(self, row: Row, claimed: list[Document]) -> list[Document]:
        """Take what was claimed out of the waiting tasks. What was not there any more had been claimed from an old reading,
        after another consumer had claimed and finished it: it is struck from the document and not delivered. Called `together` with
        what shows that the claim stands: its own answer, or `_affirm`.

        Until that is known, `Facts.unproven` has a repeat of the turn ask again.
        """
        if not claimed:
            return []
        facts, ids = self._facts[row.queue], [item["t"] for item in claimed]
        claim = facts.unproven
        assert claim is not None
        first = claim.at is None and len(ids) > 1
        if first:
            there = self._there(ids, any("te" in item for item in claimed))
        else:
            there = self._taken_out(facts, claim, claimed, ids, self.lasting(row))
        if len(there) < len(ids):
            facts.dispute(time.monotonic())
            claimed = self._strike_stale(row, claimed, there)
        facts.unproven = None
        if first:
            self._forget(claimed, None, self.lasting(row))
        for item in claimed:
            facts.marks[item["p"]] = max(item["s"], facts.marks.get(item["p"], 0))
        return claimed

    def _taken_out(
        self,
        facts: Facts,
        claim: Claim,
        claimed: list[Document],
        ids: list[ObjectId],
        concern: WriteConcern | None,
    ) -> set[ObjectId]:
        """Remove them without having compared; those that were there. How many were removed says "all" or "none". Where it was
        some, or the answer to an earlier removal is lost, a set shows what was there at the time of the claim: its history
        goes back five minutes.
        """
        sent = None if claim.at is None else claim._replace(sent=True)
        facts.unproven = sent
        removed = self._forget(claimed, None, concern)
        facts.unproven = sent or claim
        if removed == len(ids):
            return set(ids)
        if claim.at is None or not (removed or claim.sent):
            return set()
        return self._there_at(claim.at, ids)

    def _there_at(self, at: Timestamp, ids: list[ObjectId]) -> set[ObjectId]:
        """Those of the ids that were waiting tasks at this moment of the set; all of them if it cannot tell, and then later
        claims are compared before anything is removed.
        """
        query = {"_id": {"$in": ids}, "s": {"$gte": 0}}
        concern = {"level": "snapshot", "atClusterTime": at}
        try:
            with pymongo.timeout(HISTORY):
                found = self.ask(
                    {
                        "find": self._tasks.name,
                        "filter": query,
                        "projection": {"_id": 1},
                        "hint": "_id_",
                        "batchSize": len(ids) + 1,
                        "singleBatch": True,
                        "readConcern": concern,
                    }
                )
        except OperationFailure:  # too long ago for it, or too few members have it
            self._remembers = False
            return set(ids)
        return {task["_id"] for task in found["cursor"]["firstBatch"]}

    def _strike_stale(self, row: Row, claimed: list[Document], there: set[ObjectId]) -> list[Document]:
        good = [item for item in claimed if item["t"] in there]
        rest = [item for r, item in row.held.items() if r < row.base]
        for number, item in enumerate(good, row.base):
            item["r"] = number
        held = [{"t": row.id}, *rest, *good]
        update: Document = {"$set": {"held": held, "h": len(held) - 1}, "$inc": {"v": 1}}
        row.mark(held[1:], update["$set"], update)
        self._guarded(row, update, self.firm)
        row.marked = marks_of(held[1:]).keys()
        row.v += 1
        row.held = {item["r"]: item for item in (*rest, *good)}
        return good

    def _collided(self, facts: Facts, ids: list[ObjectId], limit: int) -> None:
        """Another consumer holds some of these; leave out what it is about to remove, and look a little further. If they were
        read ahead it has removed them: read again.
        """
        facts.dispute(time.monotonic())
        if facts.old:
            return
        taken: set[Any] = set()
        for document in self._consumers.find({"held.t": {"$in": ids}}, {"held.t": 1}):
            taken |= {item["t"] for item in document["held"]}
        facts.excluded = [*facts.excluded, *(id for id in ids if id in taken)][-2000:]
        facts.contended = 8
