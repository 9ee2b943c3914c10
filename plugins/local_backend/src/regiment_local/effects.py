"""Effects: what an attempt leaves behind, written in the transaction that settles it (E1 to E12 of `docs/guarantees.md`).

A step gathers its effects in their order, and writes what it can by one statement for many: records, tasks, delayed tasks.
An exchange without effects comes nowhere near this file.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from types import MappingProxyType

from regiment.contracts import Applied, Arrive, Drop, Effect, Join, Keep, Seal, Send, Shut, When
from regiment.contracts.flow import Ticket, check_tickets
from regiment_local import following, joins, records
from regiment_local.base import queue_topic
from regiment_local.flow.admitting import Admission
from regiment_local.following import Following
from regiment_local.pushing import Pushing
from regiment_local.spans import Held

NONE: Mapping[int, Sequence[Effect]] = MappingProxyType({})

HAS_KEPT = "SELECT 1 FROM records WHERE queue = ? AND key = ? AND version = ?"

SWEPT = 10
"""A step forgets up to so many expired joins more than twice those that it changes: so they never gather."""


class Step:
    """The effects of one transaction, as far as they are not written yet."""

    __slots__ = (
        "calls",
        "delayed",
        "followed",
        "joins",
        "keeps",
        "kept",
        "left_out",
        "listed",
        "name",
        "place",
        "queue",
        "ready",
        "sent",
        "tells",
        "then",
        "version",
        "wall",
    )

    def __init__(self, name: str, queue: int) -> None:
        self.name, self.queue, self.wall = name, queue, time.time()
        self.version = self.listed = self.place = 0
        """Of the records that it keeps (0: none so far); the place of the last listed one, as written and as it is to be."""
        self.tells = self.kept = False
        """True if it is to be told whether a record of the own queue was kept; if one was."""
        self.followed: float | None = None
        """The end of the last registration (boot clock); None if nobody follows anything."""
        self.keeps: list[records.Row] = []
        self.joins: dict[tuple[int, str], joins.State] = {}
        self.then: list[tuple[str, Effect]] = []
        """What completed joins apply, the next one last, with the queue of its join."""
        self.ready: dict[tuple[int, int], list[tuple[bytes, str | None]]] = {}
        """(queue, priority) -> payloads with their ids."""
        self.delayed: list[tuple[int, float, int, bytes, str | None]] = []
        self.calls: dict[str, float | None] = {}
        """Queues that were sent something -> when the first of it is due; None: at once."""
        self.sent = 0
        """Payloads sent to the own queue so far, those left out included."""
        self.left_out: list[int] = []


class Effecting(Pushing, Following):
    """apply, and what `exchange` and `release` do with the effects that they are given."""

    def apply(
        self,
        queue: str,
        effects: Sequence[Effect],
        *,
        token: str,
        token_window: float = 60.0,
        when: Sequence[When] = (),
    ) -> Applied:
        work = (queue, effects, token, token_window, when)
        if self._role == "push":
            return self._write(self._apply, *work)
        return self._db().durably(lambda: self._write(self._apply, *work))

    def _apply(
        self,
        db: sqlite3.Connection,
        queue: str,
        effects: Sequence[Effect],
        token: str,
        token_window: float,
        when: Sequence[When],
    ) -> Applied:
        self._lay(db)
        step = Step(queue, self._queue(db, queue))
        step.tells = True
        key = f"{step.queue}: {token}"  # a push has its own ones: no token of the two is the same
        known = db.execute("SELECT left_out FROM tokens WHERE token = ? AND until > ?", (key, step.wall)).fetchone()
        if known is not None:
            left_out, version = json.loads(known[0])
            return Applied(True, left_out, version, now=step.wall)
        found = {asked.key: records.look(db, step.queue, asked.key, step.wall) for asked in when}
        for asked in when:
            there = found[asked.key]
            if (0 if there is None else there.version) != asked.version:
                return Applied(False, found=found, now=step.wall)
        self._do(db, step, effects)
        if self._finish(db, step):
            self._call(db, queue_topic(queue))
        self._finish_flows(db)
        version = step.version if step.kept else 0
        db.execute(
            "INSERT OR REPLACE INTO tokens VALUES (?, ?, ?)",
            (key, step.wall + token_window, json.dumps([step.left_out, version])),
        )
        self._clean(db, step.wall)
        return Applied(True, step.left_out, version, now=step.wall)

    def _leave(
        self,
        db: sqlite3.Connection,
        name: str,
        queue: int,
        taken: Iterable[Held],
        effects: Mapping[int, Sequence[Effect]],
    ) -> bool:
        """Apply the effects of receipts in `taken` (E1); True if something of this queue may be ready that was not."""
        step, spans = None, sorted((first, first + length) for first, _, length in taken)
        place = 0
        for receipt in sorted(effects):
            while place < len(spans) and spans[place][1] <= receipt:
                place += 1
            if place == len(spans):
                break
            if receipt >= spans[place][0] and effects[receipt]:
                if step is None:
                    self._lay(db)
                    step = Step(name, queue)
                self._do(db, step, effects[receipt])
        return step is not None and self._finish(db, step)

    def _do(self, db: sqlite3.Connection, step: Step, effects: Iterable[Effect]) -> None:
        """These effects in their order, each with what it completes."""
        for effect in effects:
            if type(effect) is Keep:
                self._keep(db, step, step.name, effect)
                continue
            self._one(db, step, step.name, effect)
            while step.then:
                self._one(db, step, *step.then.pop())

    def _one(self, db: sqlite3.Connection, step: Step, queue: str, effect: Effect) -> None:
        if isinstance(effect, Keep):
            self._keep(db, step, queue, effect)
        elif isinstance(effect, Send):
            self._send(db, step, effect)
        elif isinstance(effect, Drop):
            self._write_records(db, step)
            number = self._queue(db, queue if effect.queue is None else effect.queue)
            db.executemany("DELETE FROM records WHERE queue = ? AND key = ?", [(number, key) for key in effect.keys])
        elif isinstance(effect, (Join, Arrive, Seal, Shut)):
            self._join_effect(db, step, effect)
        else:
            raise TypeError(
                f"{type(effect).__name__} is no effect; expected Keep, Send, Join, Arrive, Seal, Shut or Drop"
            )

    # records

    def _keep(self, db: sqlite3.Connection, step: Step, name: str, keep: Keep) -> None:
        if not step.version:
            [(step.version, step.listed, step.followed)] = db.execute(records.NEXT).fetchall()
            step.place = step.listed
        key, value, ttl, rank, listed, queue = keep
        number = (
            step.queue if queue is None and name is step.name else self._queue(db, name if queue is None else queue)
        )
        place = None
        if listed:
            place = step.place = step.place + 1
        until = None if ttl is None else step.wall + ttl
        step.keeps.append((number, key, rank, step.version, until, place, value, step.wall))

    def _write_records(self, db: sqlite3.Connection, step: Step) -> None:
        """Put down the records gathered so far, and leave marks for who follows them."""
        if not step.keeps:
            return
        db.executemany(records.KEEP, step.keeps)
        if step.place != step.listed:
            db.execute("UPDATE lanes SET front = ? WHERE queue = 0 AND priority = 0", (step.place,))
            step.listed = step.place
        if step.followed is not None:
            called = following.mark(db, step.version, [(row[0], row[1]) for row in step.keeps], step.followed)
            if called:
                self._calls.append((following.TOPIC, called))
        if step.tells and not step.kept:
            step.kept = any(
                db.execute(HAS_KEPT, (step.queue, row[1], step.version)).fetchone()
                for row in step.keeps
                if row[0] == step.queue
            )
        every = max(1, records.SWEEP_EVERY // len(step.keeps))
        if step.version % every == 0:
            records.sweep(db, step.wall, records.SWEPT * every * len(step.keeps))
        step.keeps = []

    # tasks

    def _send(self, db: sqlite3.Connection, step: Step, send: Send) -> None:
        number = self._queue(db, send.queue)
        if send.tickets is not None:
            self._send_tickets(db, step, number, send, send.tickets)
            return
        due = send.at if send.at is not None else step.wall + send.delay if send.delay > 0 else None
        left_out, payloads, uids = self._unknown(db, number, send.payloads, send.ids, step.wall, send.id_window)
        if number == step.queue:
            step.left_out += [step.sent + index for index in left_out]
            step.sent += len(send.payloads)
        if not payloads:
            return
        rows: Iterable[tuple[bytes, str | None]] = zip(payloads, uids or repeat(None, len(payloads)), strict=True)
        if due is not None and due > step.wall:
            step.delayed += [(number, due, send.priority, payload, uid) for payload, uid in rows]
            soonest = step.calls.get(send.queue, due)
            step.calls[send.queue] = soonest if soonest is None else min(soonest, due)
        else:
            step.ready.setdefault((number, send.priority), []).extend(rows)
            step.calls[send.queue] = None

    def _send_tickets(
        self, db: sqlite3.Connection, step: Step, number: int, send: Send, tickets: Sequence[Ticket]
    ) -> None:
        """Take tasks with tickets as `admit` does, at once: what comes later meets their keys."""
        check_tickets(send.payloads, tickets, send.ids)
        flow = self._flowing(db, send.queue)
        due = send.at if send.at is not None else step.wall + send.delay if send.delay > 0 else None
        admission = Admission(flow, send.priority, due)
        self._take(db, admission, send.payloads, tickets, send.ids, send.id_window)
        admission.finish(limited=False)
        if number == step.queue:
            step.left_out += [step.sent + met.index for met in admission.mets if met.did != "replaced"]
            step.sent += len(send.payloads)
        if admission.soonest is not None:
            self._call(db, queue_topic(send.queue), admission.soonest)

    def _write_tasks(self, db: sqlite3.Connection, step: Step) -> bool:
        """Put down the tasks gathered; True if one of the own queue is ready, which is not called for here."""
        for (queue, priority), rows in step.ready.items():
            uids = [row[1] for row in rows] if any(row[1] is not None for row in rows) else None
            self._make_ready(db, queue, priority, [row[0] for row in rows], uids, step.wall)
        if step.delayed:
            self._make_delayed(db, step.delayed)
        self._clean(db, step.wall)
        for name, due in step.calls.items():
            if name != step.name or due is not None:
                self._call(db, queue_topic(name), due)
        return step.name in step.calls

    # joins

    def _join_effect(self, db: sqlite3.Connection, step: Step, effect: Join | Arrive | Seal | Shut) -> None:
        queue = self._queue(db, effect.queue)
        name = effect.name if isinstance(effect, Join) else effect.join
        join = step.joins.get((queue, name))
        if join is None:
            join = step.joins[queue, name] = joins.load(db, queue, name, step.wall)
        if isinstance(effect, Arrive):
            join.arrive(effect.member, step.wall)
        elif isinstance(effect, Join):
            join.open(effect, step.wall)
        elif isinstance(effect, Seal):
            join.seal(effect.members, step.wall)
        else:
            join.shut(effect.ttl, step.wall)
        if join.completes():
            step.then += [(effect.queue, then) for then in reversed(joins.then_of(db, join))]

    # the end

    def _finish(self, db: sqlite3.Connection, step: Step) -> bool:
        """Write what is not written yet; True if a task was sent to the own queue."""
        self._write_records(db, step)
        dirty = [(place, join) for place, join in step.joins.items() if join.dirty]
        for (queue, name), join in dirty:
            joins.write(db, queue, name, join)
        if dirty:
            joins.sweep(db, step.wall, 2 * len(dirty) + SWEPT)
        return bool(step.calls) and self._write_tasks(db, step)
