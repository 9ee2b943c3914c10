"""The exchange: settle, take back, promote, lease, in one transaction. The rules R1 to R18 are those of `docs/guarantees.md`."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping, Sequence

from regiment.contracts import Delivery, Effect, Settlement, Taken
from regiment.errors import Fenced
from regiment_local import lanes, spans
from regiment_local.base import number_of, queue_topic
from regiment_local.consumers import Consumers
from regiment_local.counted import closed_topic
from regiment_local.effects import NONE
from regiment_local.flow.layout import ENTERED, FLOWING, PAUSED
from regiment_local.lanes import PLACES
from regiment_local.laying import boot
from regiment_local.schema import LIVING, PLACE_BITS
from regiment_local.settling import PROMOTED, Settling
from regiment_local.spans import Held
from regiment_local.turn import HEAD, Turn, until

IDLE = f"""
SELECT c.turn, c.lease, q.stamp, q.board,
    (SELECT min(deadline) FROM consumers WHERE queue = q.no AND state < 2 AND no <> c.no),
    (SELECT min(due) FROM delayed WHERE queue = q.no)
FROM consumers c JOIN queues q ON q.no = c.queue JOIN waiters w ON w.topic = ? AND w.pipe = ?
WHERE c.queue = ? AND c.name = ? AND c.state = {LIVING} AND c.held = '' AND c.lost = '' AND q.paused & {PAUSED | FLOWING} = 0"""
"""A consumer that holds nothing, was told of nothing lost, and is registered for calls of its queue."""

FROM_HEAD = """
SELECT id - ?, payload, count, note, coalesce(? - parked, 0.0) FROM tasks WHERE id >= ? AND id < ? ORDER BY id LIMIT ?"""

FROM_FRONT = """
SELECT f.id, payload, count, note, coalesce(? - parked, 0.0) FROM front f JOIN tasks t ON t.id = f.id
WHERE f.id >= ? AND f.id < ? ORDER BY f.id LIMIT ?"""


class Leases(Consumers, Settling):
    """Who holds which task."""

    def exchange(
        self,
        queue: str,
        consumer: str,
        turn: int,
        base: int,
        settlements: Sequence[Settlement],
        limit: int,
        max_bytes: int,
        holds_nothing: bool = False,
        *,
        effects: Mapping[int, Sequence[Effect]] = NONE,
    ) -> Taken:
        if not settlements and limit > 0 and queue in self._waiting:
            still = self._still_nothing(queue, consumer, turn)
            if still is not None:
                return still
        taken = self._write(
            self._exchange,
            queue,
            consumer,
            turn - self._unwritten.get((queue, consumer), 0),
            base,
            settlements,
            limit,
            max_bytes,
            holds_nothing,
            effects,
        )
        if taken.deliveries:
            self._waiting.pop(queue, None)
        elif limit > 0:
            self._waiting[queue] = None if taken.next_due is None else boot() + taken.next_due
        return taken

    def _still_nothing(self, queue: str, consumer: str, turn: int) -> Taken | None:
        """The answer of an exchange that would find what the last one found, by a look alone; None if it may find more.

        A waiting worker asks again every few seconds, in case a call was lost; to write that down each time would cost
        an idle machine more than all else. Turns that were answered so are counted in `_unwritten`: the file does not
        know of them, and a repeat of one is answered as a repeat of the last one in it, which was as empty.
        """
        pipe, known = self._pipe, self._unwritten.get((queue, consumer), 0)
        if pipe is None:
            return None

        def look(db: sqlite3.Connection) -> Taken | None:
            number = number_of(db, queue)
            row = db.execute(IDLE, (queue_topic(queue), pipe.name, number, consumer)).fetchone()
            if row is None and number is not None and queue in self._counting:
                row = self._idle_flow(db, queue, number, pipe.name, consumer)
            if row is None:
                return None
            last, lease, stamp, board, deadline, due = row
            now, wall = boot(), time.time()
            if (
                turn - known != last + 1
                or now - stamp > lease / 3
                or (deadline is not None and deadline < now)
                or (due is not None and due <= wall)
                or (queue not in self._counting and _something_ready(db, number or 0))
            ):
                return None
            return Taken([], [], until(deadline, now, due, wall), board)

        found = self._read(look, None)
        if found is not None:
            self._unwritten[queue, consumer] = known + 1
            self._waiting[queue] = None if found.next_due is None else boot() + found.next_due
        return found

    def _exchange(
        self,
        db: sqlite3.Connection,
        queue: str,
        consumer: str,
        turn: int,
        base: int,
        settlements: Sequence[Settlement],
        limit: int,
        max_bytes: int,
        holds_nothing: bool,
        effects: Mapping[int, Sequence[Effect]],
    ) -> Taken:
        number = self._queue(db, queue)
        head = db.execute(HEAD, (number, consumer)).fetchone()
        if head is None or head[1] != LIVING:
            raise Fenced(f"consumer {consumer} of {queue!r} is unknown here, closed, or was taken for dead")
        me, _, last, last_base, held, told, settled, lease, stamp, board, paused, deadline, due = head
        flow = self._begin(db, number, queue) if paused & FLOWING else None
        this = Turn(number, queue, me, held, settled, deadline, due, flow, paused & ENTERED)
        if turn == last and turn > 0:
            self._flows.clear()  # a repeat counts nothing
            return self._again(db, this, last_base, told, limit, board)
        if turn != last + 1:
            raise Fenced(f"consumer {consumer} of {queue!r} sent turn {turn}; expected {last} again or {last + 1}")
        if this.now - stamp > lease / 100:
            self._gap(db, this, stamp, lease)
        if settlements:
            self._settle_all(db, this, settlements, effects)
        if holds_nothing and this.held:
            this.ways.give_back(db, this.held)
            this.held, this.returned = [], True
        if (this.deadline is not None and this.deadline < this.now) or (due is not None and due <= this.wall):
            self._overdue_and_due(db, this)
        deliveries = self._leased(db, this, base, 0 if paused & PAUSED else limit, max_bytes)
        db.execute(
            "UPDATE consumers SET turn = ?, base = ?, held = ?, lost = ?, settled = ? WHERE no = ?",
            (turn, base, spans.write(this.held), json.dumps(this.lost) if this.lost else "", this.settled, this.me),
        )
        if self._flows:
            return self._end_flow(db, this, deliveries, limit, board)
        if this.returned and _something_ready(db, number):
            self._call(db, queue_topic(queue))
        if len(deliveries) >= limit > 0:
            return Taken(this.lost, deliveries, None, board)
        if this.changed:
            this.deadline, this.due = self._ahead(db, number, this.me)
        if not deliveries and limit > 0:
            self._register(db, queue_topic(queue), this.due)
        return Taken(this.lost, deliveries, this.until(), board)

    def _leased(self, db: sqlite3.Connection, this: Turn, base: int, limit: int, max_bytes: int) -> list[Delivery]:
        if limit <= 0:
            return []
        if this.flow is not None:
            return this.flow.lease(this.me, this.held, base, limit, max_bytes)
        return self._lease(db, this.queue, this.held, base, limit, max_bytes, this.wall)

    def _end_flow(
        self, db: sqlite3.Connection, this: Turn, deliveries: list[Delivery], limit: int, board: int
    ) -> Taken:
        """The end of an exchange in a queue that counts, or sends to one: counts are written, and who is to be woken is."""
        flow = self._flows.pop(this.queue, None)
        if flow is not None:
            self._counting.add(this.name)
        self._finish_flows(db)
        if flow is None:
            if this.returned and _something_ready(db, this.queue):
                self._call(db, queue_topic(this.name))
        else:
            flow.finish()
            flow.opened = flow.opened or this.returned
        if this.changed:
            this.deadline, this.due = self._ahead(db, this.queue, this.me)
        idle = limit > 0 and not deliveries
        wait = this.until()
        if flow is not None and idle and not (flow.opened and self._leasable(db, flow)):
            opens = self._watch(db, flow, this.me)
            if opens is not None:
                wait = max(0.0, opens - this.wall) if wait is None else min(wait, max(0.0, opens - this.wall))
        elif flow is not None:
            if flow.watcher == this.me:
                db.execute("DELETE FROM watchers WHERE queue = ?", (this.queue,))
            self._tell(db, flow, this.me)
        if idle:
            self._register(
                db,
                queue_topic(this.name) if flow is None or not flow.root.closed else closed_topic(this.name),
                this.due,
            )
            if flow is not None and this.flow is None:
                wait = 0.0  # its first ticket came with this exchange, which did not look for it yet
        return Taken(this.lost, deliveries, wait, board)

    def _gap(self, db: sqlite3.Connection, this: Turn, stamp: float, lease: float) -> None:
        """R8: set the stamp, and move the deadlines if nobody touched the queue for long."""
        gap = this.now - stamp
        if gap > lease / 3:
            this.changed = True
            this.deadline = None if this.deadline is None else this.deadline + gap
        self._close_gap(db, this.queue, this.now, lease)

    def _overdue_and_due(self, db: sqlite3.Connection, this: Turn) -> None:
        """Take back from overdue consumers, and make ready what is due."""
        if this.deadline is not None and this.deadline < this.now:
            this.returned = self._take_back(db, this) or this.returned
            this.changed = True
        if this.due is not None and this.due <= this.wall:
            this.returned = this.ways.promote(db, this.queue, this.wall, PROMOTED) > 0 or this.returned
            this.changed = True

    def _again(self, db: sqlite3.Connection, this: Turn, base: int, told: str, limit: int, board: int) -> Taken:
        """R4: the answer of the last turn; its batch is what is held from its base on."""
        batch, _ = spans.cut(this.held, base, 2**63)
        deliveries = [
            Delivery(*row)
            for receipt, id, length in batch
            for row in db.execute(FROM_HEAD, (id - receipt, this.wall, id, id + length, length))
        ]
        this.deadline, this.due = self._ahead(db, this.queue, this.me)
        wait = this.until()
        if not deliveries and limit > 0:
            self._register(db, queue_topic(this.name), this.due)
            if _something_ready(db, this.queue) if this.flow is None else self._leasable(db, this.flow):
                wait = 0.0  # the call for it may have gone to a connector that is no more
        return Taken(json.loads(told) if told else [], deliveries, wait, board)

    def _ahead(self, db: sqlite3.Connection, queue: int, me: int) -> tuple[float | None, float | None]:
        """The earliest deadline of another consumer and the earliest due time."""
        [(deadline, due)] = db.execute(
            """SELECT (SELECT min(deadline) FROM consumers WHERE queue = ? AND state < 2 AND no <> ?),
                      (SELECT min(due) FROM delayed WHERE queue = ?)""",
            (queue, me, queue),
        ).fetchall()
        return deadline, due

    def _lease(
        self,
        db: sqlite3.Connection,
        queue: int,
        held: list[Held],
        base: int,
        limit: int,
        max_bytes: int,
        wall: float,
    ) -> list[Delivery]:
        """Lease up to `limit` ready tasks, and note them in `held`."""
        if held and base <= held[-1][0] + held[-1][2] - 1:
            raise ValueError(f"base is {base}; expected more than {held[-1][0] + held[-1][2] - 1}, which is held")
        deliveries: list[Delivery] = []
        size = 0
        for floor, head, front in lanes.heads(db, queue):
            if front:
                before = len(deliveries)
                size = _from_front(db, held, deliveries, base, floor, head, limit, max_bytes, size, wall)
                if len(deliveries) - before < front:
                    break
            before = len(deliveries)
            if before < limit:
                receipt = base + before
                rows = db.execute(FROM_HEAD, (head - receipt, wall, head, floor + PLACES, limit - before))
                for delivery in map(Delivery._make, rows):
                    size += len(delivery.payload)
                    if size > max_bytes and deliveries:
                        rows.close()
                        limit = 0  # the batch is full: the lanes behind have their turn later
                        break
                    deliveries.append(delivery)
                taken = len(deliveries) - before
                if taken:
                    spans.add(held, receipt, head, taken)
                    db.execute(
                        "UPDATE lanes SET head = head + ? WHERE no = ?",
                        (taken, floor >> PLACE_BITS),
                    )
            if len(deliveries) >= limit:
                break
        return deliveries


def _something_ready(db: sqlite3.Connection, queue: int) -> bool:
    return any(
        front or db.execute("SELECT 1 FROM tasks WHERE id >= ? AND id < ? LIMIT 1", (head, floor + PLACES)).fetchall()
        for floor, head, front in lanes.heads(db, queue)
    )


def _from_front(
    db: sqlite3.Connection,
    held: list[Held],
    deliveries: list[Delivery],
    base: int,
    floor: int,
    head: int,
    limit: int,
    max_bytes: int,
    size: int,
    wall: float,
) -> int:
    """Lease of what was given back to a lane, which comes first in it; the bytes of the batch so far."""
    before, last = len(deliveries), floor
    rows = db.execute(FROM_FRONT, (wall, floor, head, limit - before))
    for id, payload, count, note, parked in rows:
        size += len(payload)
        if size > max_bytes and deliveries:
            break
        receipt = base + len(deliveries)
        spans.add(held, receipt, id)
        deliveries.append(Delivery(receipt, payload, count, note, parked))
        last = id
    rows.close()
    taken = len(deliveries) - before
    db.execute("DELETE FROM front WHERE id >= ? AND id <= ?", (floor, last))
    db.execute("UPDATE lanes SET front = front - ? WHERE no = ?", (taken, floor >> PLACE_BITS))
    return size
