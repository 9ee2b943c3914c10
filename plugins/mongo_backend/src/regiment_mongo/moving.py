"""Tasks that change their place: copies first, then the consumer's document under its guard.

Each of these is one transaction on a replica set, and on a stand-alone server a chain whose repeat finds its copies;
`docs/mongo.md` tells what a crash between two links leaves.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

from bson import ObjectId
from pymongo import WriteConcern
from pymongo.errors import DuplicateKeyError, OperationFailure

from regiment.contracts import Again, Back, Dead
from regiment_mongo.applying import Applies
from regiment_mongo.base import LASTING, Copied, Session, Stale
from regiment_mongo.effects import version
from regiment_mongo.entries import ENTRIES
from regiment_mongo.errors import INTERRUPTED
from regiment_mongo.layout import Document
from regiment_mongo.ledger import LIVE, Facts, Plan, Row, marks_of, moved, waiting
from regiment_mongo.moments import Moment, date
from regiment_mongo.outbox import TRACE
from regiment_mongo.rates import Rates
from regiment_mongo.spots import shelved

LIVING = 1_000
"""Milliseconds for which a transaction is taken for one of the living; they need some few."""


TRIES = 20
"""How often a key is taken from pushes that reserve it."""


class Reserved(Exception):
    """A push has reserved the key of a task that comes back."""


class Moves(Applies, Rates):
    """From a consumer's document to another place."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._rows: dict[str, Row] = {}
        self._facts: dict[str, Facts] = {}
        self._terms: dict[str, int] = {}
        """Tasks that a consumer which has joined here runs at a time."""

    def _row(self, document: Document) -> Row:
        """A consumer as somebody else has left it. A transaction that is still open there after `LIVING` is ended, because
        its process is dead, and whoever writes to the document would wait for it.
        """
        self._unlock(document)
        return Row(document)

    def _unlock(self, document: Document) -> None:
        if "tx" not in document:
            return
        id, mover = document["_id"], document["tx"]
        age = self.server_time() - mover["at"]
        dead = time.monotonic() + (LIVING - age if age >= 0 else 0) / 1000
        while time.monotonic() < dead:
            time.sleep(0.01)
            if self._consumers.count_documents({"_id": id, "tx": mover}) == 0:
                return
        self.end(mover["id"])
        self._unmark(id, mover)

    def lasting(self, row: Row) -> WriteConcern | None:
        """What the writes of this consumer wait for that nothing may undo."""
        return LASTING if row.once else None

    def _unmark(self, id: str, mover: Document) -> None:
        self._consumers.update_one({"_id": id, "tx": mover}, {"$unset": {"tx": 1}})

    def _move(self, queue: str, row: Row, turn: int, plan: Plan) -> None:
        """Before the claim of a turn: copies first, then the consumer's document, which notes the answer so far."""
        moment = self.moment(queue, numbers=len(plan.moves))
        levels = {how.priority for _, how in plan.moves if isinstance(how, Again)} - {None, *moment.priorities}
        for level in levels if moment.flow else ():
            # Who goes through lanes knows all priorities. This consumer reads its document again, too.
            self.moment(queue, priority=level)
            self.refresh(queue)
        tasks, letters = [], []
        for number, (item, settlement) in enumerate(plan.moves, moment.first):
            if isinstance(settlement, Dead):
                letters.append(self._letter(queue, row, item, settlement, moment, number))
            else:
                tasks.append(moved(queue, item, settlement, moment, number))
        out = [item for item, _ in plan.moves]
        gone = [*plan.gone, *(item["r"] for item in out)]
        note = {"turn": turn, "lost": plan.lost}
        self._transfer(row, tasks, letters, out, gone, {"pre": note}, plan.out)
        row.before = note
        if plan.out is not None:
            with self.together():
                self.forward(row)
        ended = [item for item, how in plan.moves if isinstance(how, Back)]
        self.refund_items(queue, moment.flow, ended)
        if letters:
            self._bound_letters(queue, row.dead_limit, self.moment(queue, dead=len(letters)))
        if any(isinstance(settlement, Back) for _, settlement in plan.moves):
            self._facts[queue].restart()
            self._returned(queue, row)
        elif tasks or moment.flow:
            self._facts[queue].restart()
            self.poke(queue)

    def _returned(self, queue: str, row: Row) -> None:
        """Something stands in front again: others must not begin their search behind it."""
        self._consumers.update_many({"q": queue, "st": LIVE, "_id": {"$ne": row.id}}, {"$inc": {"v": 1}})
        self.poke(queue)

    def _transfer(
        self,
        row: Row,
        tasks: list[Document],
        letters: list[Document],
        out: list[Document],
        gone: Sequence[int],
        fields: Document,
        entry: Document | None = None,
    ) -> None:
        """Atomically where the server can: store `tasks` and `letters`, forget `out`, take `gone` off the document.

        On a stand-alone server in this order and over one connection, so that a crash leaves a copy and never nothing; the repeat
        makes the same copies under the same `_id`s. `entry` comes to the outbox. `Stale` if the consumer was changed by somebody else.
        """
        out_of = set(gone)
        left = [item for r, item in row.held.items() if r not in out_of]
        tasks = [shelved(task) for task in tasks]
        move = _Transfer(self, row, left, out, fields, entry)
        try:
            try:
                move.make(tasks, letters)
            except Copied:
                # Made by a giving back that was cut off while this set was a stand-alone server.
                there = self._there([task["_id"] for task in tasks])
                wanted = {"_id": {"$in": [letter["_id"] for letter in letters]}}
                dead = {letter["_id"] for letter in self._dead.find(wanted, {"_id": 1})}
                move.make(
                    [task for task in tasks if task["_id"] not in there],
                    [letter for letter in letters if letter["_id"] not in dead],
                )
        except (Stale, OperationFailure) as error:
            # Interrupted is who was taken for dead (`_unlock`).
            if isinstance(error, OperationFailure) and error.code != INTERRUPTED:
                raise
            if "tx" in move.guard:
                self._unmark(row.id, move.guard["tx"])
            raise Stale from None
        row.v += 1
        row.held = {item["r"]: item for item in left}
        row.marked = marks_of(left).keys()
        row.state = fields.get("st", row.state)
        if entry is not None:
            row.out, row.sent = [*row.out, {**entry, "v": version(move.at)}], None

    def _there(self, ids: list[ObjectId], tokens: bool = False) -> set[ObjectId]:
        """Those of the ids that are still among the waiting tasks; a count says "all" at half the cost of a list.
        `tokens`: of some the token may be left, which is no task.
        """
        wanted: Document = {"_id": {"$in": ids}}
        if tokens:
            wanted["s"] = {"$gte": 0}
        count = {"count": self._tasks.name, "query": wanted, "hint": "_id_"}
        if self.ask(count)["n"] == len(ids):
            return set(ids)
        found = self.ask(
            {
                "find": self._tasks.name,
                "filter": wanted,
                "projection": {"_id": 1},
                "hint": "_id_",
                "batchSize": len(ids) + 1,
                "singleBatch": True,
            }
        )
        return {task["_id"] for task in found["cursor"]["firstBatch"]}

    def yield_keys(self, tasks: list[Document]) -> None:
        """Have these tasks, which come back, find their keys unreserved. One that another task has meanwhile (its time was over) is
        theirs no longer.
        """
        keys = [task["u"] for task in tasks if "u" in task]
        self._tasks.delete_many({"u": {"$in": keys}, "rs": {"$exists": True}})
        others = {one["u"]: one["_id"] for one in self._tasks.find({"u": {"$in": keys}}, {"u": 1}, hint="keys")}
        for task in tasks:
            if others.get(task.get("u", ""), task["_id"]) != task["_id"]:
                del task["u"]

    def _matches(self, guard: Document) -> int:
        """How many consumers, one or none, are as this says."""
        count = {"count": self._consumers.name, "query": guard, "hint": "_id_"}
        return int(self.ask(count)["n"])

    def _letter(self, queue: str, row: Row, item: Document, settlement: Dead, moment: Moment, number: int) -> Document:
        return {
            "_id": waiting(queue, item)["_id"],
            "q": queue,
            "t": settlement.task_id,
            "b": item["b"] if settlement.payload is None else settlement.payload,
            "r": settlement.reason,
            "p": item["p"],
            "at": moment.now,
            "d": number,
            "ex": date(moment.now + row.dead_age * 1000),
            **{field: item[field] for field in ("i", "l", "f", ENTRIES) if field in item},
        }

    def _bound_letters(self, queue: str, limit: int, moment: Moment) -> None:
        """Delete the oldest letters beyond `limit`. The row's count may be too high (TTL deletes too), never too low."""
        if moment.dead <= limit:
            return
        total = self._dead.count_documents({"q": queue})
        if total > limit:
            oldest = self._dead.find({"q": queue}, {"_id": 1}).sort([("at", 1), ("d", 1)]).limit(total - limit)
            self._dead.delete_many({"_id": {"$in": [d["_id"] for d in oldest]}})
        self._queues.update_one({"_id": queue, "dead": moment.dead}, {"$set": {"dead": min(total, limit)}})


class _Transfer:
    """One transfer: the guard under which the consumer's document changes, and how it changes."""

    def __init__(
        self,
        moves: Moves,
        row: Row,
        left: list[Document],
        out: list[Document],
        fields: Document,
        entry: Document | None,
    ) -> None:
        self._moves, self._row, self._out = moves, row, out
        self.guard: Document = {"_id": row.id, "v": row.v}
        self._update: Document = {
            "$set": {**fields, "held": [{"t": row.id}, *left], "h": len(left)},
            "$inc": {"v": 1},
        }
        row.mark(left, self._update["$set"], self._update)
        self._entry = entry
        self.at: Any = None
        """When the entry was written, by the server's logical clock."""
        if entry is not None:
            self._update["$set"]["out"] = [*row.out, entry]
            self._update["$set"]["oa"] = entry["on"]
            self._update["$currentDate"] = {"ov": {"$type": "timestamp"}}
        if not left and (entry is not None or row.out):
            self._update["$set"]["h"] = TRACE

    def make(self, tasks: list[Document], letters: list[Document]) -> None:
        """Do all of it; `Copied` if a transaction finds one of the copies there already."""
        moves = self._moves
        for _ in range(TRIES):
            try:
                with nullcontext() if moves._transactions else moves.together():
                    moves.atomically(partial(self._work, tasks, letters), moves.lasting(self._row), self._announce)
                return
            except Reserved:
                # A push has reserved the key of a task that comes back: it looks again.
                moves.yield_keys(tasks)
        raise Stale

    def _announce(self, id: Any) -> None:
        """Write the transaction that begins into the document, so that who finds it locked can end it."""
        asked = {**self.guard, "tx": self.guard.get("tx")}
        mover = {"id": id, "at": int(self._moves.clock.now())}
        if self._moves._consumers.update_one(asked, {"$set": {"tx": mover}}).matched_count != 1:
            raise Stale
        self.guard["tx"] = mover
        self._update.setdefault("$unset", {})["tx"] = 1

    def _work(self, tasks: list[Document], letters: list[Document], session: Session) -> None:
        moves = self._moves
        if session is None and moves._matches(self.guard) != 1:
            raise Stale
        for store, documents in ((moves._tasks, tasks), (moves._dead, letters)):
            try:
                moves.store(store, documents, session, moves.firm)
            except DuplicateKeyError as error:
                if "{ u:" in str(error):
                    raise Reserved from None
                if session is not None:
                    raise Copied from None
        if self._out:
            moves._forget(self._out, session, moves.firm)
        if self._entry is not None:
            self.at, _ = moves.write_entry(self.guard, self._update, moves.lasting(self._row), session)
            return
        change = {"q": self.guard, "u": self._update}
        asked = {"update": moves._consumers.name, "updates": [change]}
        if moves.ask(asked, moves.lasting(self._row), session)["n"] != 1:
            raise Stale
