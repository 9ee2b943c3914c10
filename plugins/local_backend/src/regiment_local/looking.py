"""What people see: counts, queues, tasks without leasing them."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Sequence
from typing import Literal

from regiment.contracts import Counts, Peeked
from regiment_local import lanes, spans
from regiment_local.base import number_of
from regiment_local.counted import Counted
from regiment_local.flow import hand, uniques
from regiment_local.flow.layout import FLOWING, PAUSED
from regiment_local.laying import boot
from regiment_local.schema import LIVING, PLACE_BITS

State = Literal["ready", "delayed", "leased"]


class Looking(Counted):
    """counts, queues, peek, purge."""

    def counts(self, queue: str) -> Counts:
        return self._read(lambda db: counts_of(db, queue), Counts())

    def queues(self) -> Sequence[str]:
        return self._read(_names, [])

    def peek(self, queue: str, state: State, limit: int = 100) -> Sequence[Peeked]:
        look = {"ready": _ready, "delayed": _delayed, "leased": _leased}.get(state)
        if look is None:
            raise ValueError(f"state is {state!r}; expected 'ready', 'delayed' or 'leased'")

        def work(db: sqlite3.Connection) -> list[Peeked]:
            number = number_of(db, queue)
            return [] if number is None or limit <= 0 else look(db, number, limit)

        return self._read(work, [])

    def purge(self, queue: str) -> int:
        return self._write(self._purge, queue)

    def _purge(self, db: sqlite3.Connection, queue: str) -> int:
        number = self._queue(db, queue)
        flow = self._flow_of(db, number, queue)
        keys = [] if flow is None else hand.waiting_keys(flow)
        delayed = db.execute("SELECT no FROM delayed WHERE queue = ?", (number,)).fetchall()
        gone = 0 if flow is None else hand.purge(flow)
        gone += lanes.forget_delayed(db, [no for (no,) in delayed])
        for floor, head, _ in lanes.heads(db, number):
            end = lanes.tail(db, floor >> PLACE_BITS)
            gone += db.execute(
                "DELETE FROM tasks WHERE id IN (SELECT id FROM front WHERE id >= ? AND id < ?)",
                (floor, head),
            ).rowcount
            db.execute("DELETE FROM front WHERE id >= ? AND id < ?", (floor, head))
            gone += db.execute("DELETE FROM tasks WHERE id >= ? AND id < ?", (head, end)).rowcount
            # behind the last one, so that no id comes again
            db.execute("UPDATE lanes SET head = ?, front = 0 WHERE no = ?", (end - floor, floor >> PLACE_BITS))
        if keys:
            uniques.ended(db, keys, time.time(), dropped=True)
        self._finish_flows(db)
        return gone


def counts_of(db: sqlite3.Connection, queue: str) -> Counts:
    """How many tasks of a queue are in each state."""
    found = db.execute("SELECT no, dead, paused FROM queues WHERE name = ?", (queue,)).fetchone()
    if found is None:
        return Counts()
    number, dead, paused = found
    ready = 0
    for floor, head, front in lanes.heads(db, number):
        ready += front + lanes.tail(db, floor >> PLACE_BITS) - head
    if paused & FLOWING:
        ready += hand.lined(db, number)
    [(delayed,)] = db.execute("SELECT count(*) FROM delayed WHERE queue = ?", (number,)).fetchall()
    leased = consumers = 0
    for state, deadline, held in db.execute(
        "SELECT state, deadline, held FROM consumers WHERE queue = ? AND state < 2", (number,)
    ):
        leased += spans.size(spans.parse(held))
        consumers += state == LIVING and deadline > boot()
    since = [
        row[0]
        for ids in _ready_ids(db, number, 1)
        for row in db.execute("SELECT since FROM tasks WHERE id = ?", (ids[0],))
    ]
    if paused & FLOWING:
        since += hand.oldest(db, number)
    oldest = max(0.0, time.time() - min(since)) if since else None
    return Counts(ready, delayed, leased, dead, oldest, consumers, bool(paused & PAUSED))


def _ready_ids(db: sqlite3.Connection, queue: int, limit: int) -> Iterable[list[int]]:
    """For each lane, in order of priority, the ids of its first ready tasks."""
    for floor, head, front in lanes.heads(db, queue):
        ids: list[int] = []
        if front:
            rows = db.execute(
                "SELECT id FROM front WHERE id >= ? AND id < ? ORDER BY id LIMIT ?",
                (floor, head, limit),
            ).fetchall()
            ids = [row[0] for row in rows]
        ids += range(head, min(lanes.tail(db, floor >> PLACE_BITS), head + limit - len(ids)))
        if ids:
            yield ids


def _names(db: sqlite3.Connection) -> list[str]:
    rows = db.execute(
        """SELECT name FROM queues q WHERE board OR dead
           OR EXISTS (SELECT 1 FROM lanes l WHERE l.queue = q.no AND (l.front OR EXISTS (
                      SELECT 1 FROM tasks WHERE id >= (l.no << :bits) + l.head AND id < (l.no + 1) << :bits)))
           OR (paused & 2 AND EXISTS (SELECT 1 FROM tasks t JOIN lanes l ON l.queue = -q.no
                                      WHERE t.id >= l.no << :bits AND t.id < (l.no + 1) << :bits))
           OR EXISTS (SELECT 1 FROM delayed WHERE queue = q.no)
           OR EXISTS (SELECT 1 FROM consumers WHERE queue = q.no AND state < 2)
           ORDER BY name""",
        {"bits": PLACE_BITS},
    )
    return [row[0] for row in rows]


def _ready(db: sqlite3.Connection, queue: int, limit: int) -> list[Peeked]:
    ids = [id for lane in _ready_ids(db, queue, limit) for id in lane]
    lined = hand.first_lined(db, queue, limit)
    if lined:
        order = hand.priorities(db, queue)
        ids = sorted(ids + lined, key=lambda id: (order[id >> PLACE_BITS], id < 0, id))
    ids = ids[:limit]
    return [_peeked(db, id, "ready", None) for id in ids]


def _delayed(db: sqlite3.Connection, queue: int, limit: int) -> list[Peeked]:
    wall = time.time()
    rows = db.execute(
        "SELECT payload, priority, due, count FROM delayed WHERE queue = ? ORDER BY due, no LIMIT ?",
        (queue, limit),
    )
    return [Peeked(payload, "delayed", priority, max(0.0, due - wall), count) for payload, priority, due, count in rows]


def _leased(db: sqlite3.Connection, queue: int, limit: int) -> list[Peeked]:
    priorities = hand.priorities(db, queue)
    held = [
        (priorities[id >> PLACE_BITS], id, name)
        for name, text in db.execute("SELECT name, held FROM consumers WHERE queue = ? AND state < 2", (queue,))
        for _, id in spans.singles(spans.parse(text))
    ]
    return [_peeked(db, id, "leased", name) for _, id, name in sorted(held)[:limit]]


def _peeked(db: sqlite3.Connection, id: int, state: State, consumer: str | None) -> Peeked:
    payload, priority, count = db.execute(
        "SELECT t.payload, l.priority, t.count FROM tasks t JOIN lanes l ON l.no = ? WHERE t.id = ?",
        (id >> PLACE_BITS, id),
    ).fetchone()
    return Peeked(payload, state, priority, 0.0, count, consumer)
