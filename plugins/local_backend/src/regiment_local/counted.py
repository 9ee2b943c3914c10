"""Which queues count (extra `flow`), their state within the transaction under way, and who is told when a gate opens."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, TypeVar

from regiment_local.base import Base, queue_topic
from regiment_local.flow import layout
from regiment_local.flow.layout import FLOWING, PAUSED
from regiment_local.flow.leasing import Flow
from regiment_local.schema import FLOW_LAYOUT, LIVING

T = TypeVar("T")

LATE = 0.05
"""Seconds after which who was told of a time, and did not come, is taken for gone."""

IDLE = f"""
SELECT c.turn, c.lease, q.stamp, q.board,
    (SELECT min(deadline) FROM consumers WHERE queue = q.no AND state < 2 AND no <> c.no),
    (SELECT min(due) FROM delayed WHERE queue = q.no), c.no
FROM consumers c JOIN queues q ON q.no = c.queue JOIN waiters w ON w.topic IN (?, ?) AND w.pipe = ?
WHERE c.queue = ? AND c.name = ? AND c.state = {LIVING} AND c.held = '' AND c.lost = '' AND q.paused & {PAUSED | FLOWING} = {FLOWING}"""
WATCHER = f"""
SELECT w.consumer, w.due FROM watchers w JOIN consumers c ON c.no = w.consumer
WHERE w.queue = ? AND c.state = {LIVING} AND w.due >= ?"""


def closed_topic(queue: str) -> str:
    """What waiters for a queue are registered under that is closed as a whole: no push is a reason to call them."""
    return f"closed:{queue}"


class Counted(Base):
    """The bookkeeping of queues that have seen a ticket, a rule or a gate."""

    def _fresh(self) -> None:
        super()._fresh()
        self._flows: dict[int, Flow] = {}
        self._counting: set[str] = set()
        """Queues that are known to count; they never cease to."""

    def _forget(self) -> None:
        super()._forget()
        self._flows.clear()

    def _flow_of(self, db: sqlite3.Connection, number: int, name: str) -> Flow | None:
        """The state of a queue in this transaction; None if it does not count."""
        found = self._flows.get(number)
        if found is None:
            row = db.execute("SELECT paused FROM queues WHERE no = ?", (number,)).fetchone()
            if row is not None and row[0] & FLOWING:
                found = self._begin(db, number, name)
        return found

    def _begin(self, db: sqlite3.Connection, number: int, name: str) -> Flow:
        found = self._flows.get(number)
        if found is None:
            found = self._flows[number] = Flow(db, number, name)
        return found

    def _flowing(self, db: sqlite3.Connection, queue: str) -> Flow:
        """The same, of a queue that counts from now on if it did not before."""
        number = self._queue(db, queue)
        found = self._flow_of(db, number, queue)
        if found is None:
            if not self._has(db, "spots"):
                self._make(db, "spots", layout.TABLES)
                db.execute(f"PRAGMA user_version = {FLOW_LAYOUT}")
            db.execute("UPDATE queues SET paused = paused | ? WHERE no = ?", (FLOWING, number))
            found = self._begin(db, number, queue)
            found.fresh = True
        found.line_up_plain()
        return found

    def _finish_flows(self, db: sqlite3.Connection) -> None:
        """At the end of the transaction: write what was counted, and wake who may lease now."""
        flows = list(self._flows.values())
        self._flows.clear()
        for flow in flows:
            flow.finish()
            self._tell(db, flow)

    def _tell(self, db: sqlite3.Connection, flow: Flow, me: int = 0) -> None:
        """Wake who waits if something may go that might not, else one of them if nobody watches for the next time."""
        if flow.opened and self._leasable(db, flow):
            self._wake(db, flow.name)
        else:
            self._hand_over(db, flow, me)

    def _leasable(self, db: sqlite3.Connection, flow: Flow) -> bool:
        """True if something may be leased by somebody."""
        if flow.root.closed or not (flow.some() or flow.plain_ready()):
            return False
        [(paused,)] = db.execute("SELECT paused FROM queues WHERE no = ?", (flow.queue,)).fetchall()
        return not paused & PAUSED

    def _wake(self, db: sqlite3.Connection, name: str) -> None:
        """Call all who wait for a queue, also those that no push is to call."""
        self._call(db, queue_topic(name))
        self._call_as(db, closed_topic(name), queue_topic(name))

    def _call_as(self, db: sqlite3.Connection, topic: str, said: str) -> None:
        rows = db.execute("DELETE FROM waiters WHERE topic = ? RETURNING pipe", (topic,)).fetchall()
        if rows:
            self._calls.append((said, [row[0] for row in rows]))

    def _hand_over(self, db: sqlite3.Connection, flow: Flow, me: int) -> None:
        """If a time is to come, and nobody is told of it, call one who waits: he asks, and is told."""
        opens = flow.next_opening()
        if opens is None or self._is_watched(db, flow, me, opens):
            return
        row = db.execute(
            "SELECT topic, pipe FROM waiters WHERE topic IN (?, ?) LIMIT 1",
            (queue_topic(flow.name), closed_topic(flow.name)),
        ).fetchone()
        if row is not None:
            db.execute("DELETE FROM waiters WHERE topic = ? AND pipe = ?", row)
            self._calls.append((queue_topic(flow.name), [row[1]]))

    def _is_watched(self, db: sqlite3.Connection, flow: Flow, me: int, opens: float) -> bool:
        """True if another consumer was told of this time, or of an earlier one."""
        row = db.execute(WATCHER, (flow.queue, flow.wall - LATE)).fetchone()
        return row is not None and row[0] != me and row[1] <= opens + LATE

    def _watch(self, db: sqlite3.Connection, flow: Flow, me: int) -> float | None:
        """Have this consumer told of the next time, if nobody else is; the time."""
        opens = flow.next_opening()
        if opens is None or self._is_watched(db, flow, me, opens):
            return None
        db.execute("INSERT OR REPLACE INTO watchers VALUES (?, ?, ?)", (flow.queue, me, opens))
        return opens

    def _idle_flow(self, db: sqlite3.Connection, queue: str, number: int, pipe: str, consumer: str) -> Any:
        """What `lease.IDLE` finds of a queue that counts, by a look alone; None if an exchange may find more."""
        topics = (queue_topic(queue), closed_topic(queue))
        row = db.execute(IDLE, (*topics, pipe, number, consumer)).fetchone()
        if row is None:
            return None
        flow = Flow(db, number, queue)
        root, opens = flow.root, flow.next_opening()
        if flow.due or (root.closed and flow.free(root) > 0) or self._leasable(db, flow):
            return None
        if opens is not None and not self._is_watched(db, flow, row[-1], opens):
            return None
        return row[:-1]

    def _looked_at(self, queue: str, look: Callable[[sqlite3.Connection, Flow], T]) -> T | None:
        """What this finds in a queue that counts; None if it does not."""

        def work(db: sqlite3.Connection) -> T | None:
            row = db.execute("SELECT no, paused FROM queues WHERE name = ?", (queue,)).fetchone()
            return look(db, Flow(db, row[0], queue)) if row is not None and row[1] & FLOWING else None

        return self._read(work, None)
