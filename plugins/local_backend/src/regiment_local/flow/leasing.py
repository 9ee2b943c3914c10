"""Leasing in turn: the highest priority first, in it pools in turn, in a pool lanes in turn, in a lane the oldest first."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from math import inf

from regiment.contracts import Delivery
from regiment_local import lanes, spans
from regiment_local.flow import uniques
from regiment_local.flow.moving import Moving
from regiment_local.flow.spots import Spot
from regiment_local.lanes import PLACES
from regiment_local.schema import PLACE_BITS
from regiment_local.spans import Held

NEXT_PRIORITY = "SELECT min(priority) FROM rings WHERE queue = ? AND may = 1 AND priority > ?"
RINGS = "SELECT pool, room FROM rings WHERE queue = ? AND priority = ? AND may = 1 ORDER BY turn LIMIT ?"
STRANDS = """
SELECT spot, room, ready FROM strands WHERE pool = ? AND priority = ? AND may = 1 ORDER BY turn LIMIT ?"""
HOW_MANY = """
SELECT count(*) FROM (SELECT 1 FROM strands WHERE pool = ? AND priority = ? AND may = 1 LIMIT ?)"""
LAST_RING = "SELECT coalesce(max(turn), 0) + 1 FROM rings WHERE queue = ? AND priority = ? AND may = 1"

TAKE = """
SELECT t.id, t.payload, t.count, t.note, coalesce(? - t.parked, 0.0), t.ukey, t.ticket
FROM lined l JOIN tasks t ON t.id = l.id WHERE l.spot = ? AND l.priority = ? ORDER BY l.id LIMIT ?"""
FRONT = """
SELECT t.id, t.payload, t.count, t.note, coalesce(? - t.parked, 0.0), t.ukey, t.ticket
FROM front f JOIN tasks t ON t.id = f.id WHERE f.id >= ? AND f.id < ? ORDER BY f.id LIMIT ?"""
HEAD = """
SELECT t.id, t.payload, t.count, t.note, coalesce(? - t.parked, 0.0), t.ukey, t.ticket
FROM tasks t WHERE t.id >= ? AND t.id < ? ORDER BY t.id LIMIT ?"""
UNLINE = "DELETE FROM lined WHERE spot = ? AND priority = ? AND id <= ?"


class Batch:
    """What one exchange leases."""

    __slots__ = ("base", "deliveries", "full", "held", "limit", "most", "size")

    def __init__(self, held: list[Held], base: int, limit: int, max_bytes: int) -> None:
        self.held, self.base, self.limit, self.most = held, base, limit, max_bytes
        self.deliveries: list[Delivery] = []
        self.size, self.full = 0, False
        """`full`: True if the next one would make it larger than `max_bytes`."""

    @property
    def room(self) -> int:
        """How many more it takes."""
        return 0 if self.full else self.limit - len(self.deliveries)

    def add(self, id: int, payload: bytes, count: int, note: bytes | None, parked: float) -> bool:
        """True if it was taken."""
        size = self.size + len(payload)
        if size > self.most and self.deliveries:
            self.full = True
            return False
        receipt = self.base + len(self.deliveries)
        spans.add(self.held, receipt, id)
        self.deliveries.append(Delivery(receipt, payload, count, note, parked))
        self.size = size
        return True


class Flow(Moving):
    """The state of one queue within one transaction."""

    def __init__(self, db: sqlite3.Connection, queue: int, name: str) -> None:
        super().__init__(db, queue, name)
        self._me = 0
        self._slots: int | None = None
        self._mine: Counter[int] | None = None
        """Of each spot, what this consumer holds; None: not counted yet."""
        self._plain: dict[int, tuple[int, int, int]] = {}
        """Priority -> first id, head, and how many are in front, of the lanes of pool "" and lane ""."""

    def lease(self, me: int, held: list[Held], base: int, limit: int, max_bytes: int) -> list[Delivery]:
        """Lease up to `limit` tasks that may go, and note them in `held`."""
        if held and base <= held[-1][0] + held[-1][2] - 1:
            raise ValueError(f"base is {base}; expected more than {held[-1][0] + held[-1][2] - 1}, which is held")
        self._me, self._mine = me, None
        self.flush()
        self.look_again()
        if self.root.closed:
            return []
        batch = Batch(held, base, limit, max_bytes)
        most = self._most(self.root, limit, batch)
        if most <= 0:
            return []
        batch.limit = most
        self.line_up_plain()
        priority = -(1 << 62)
        while batch.room > 0:
            [(found,)] = self.db.execute(NEXT_PRIORITY, (self.queue, priority)).fetchall()
            if found is None:
                break
            while batch.room > 0 and self._round(found, batch, limit):
                pass
            priority = found
        return batch.deliveries

    def plain_ready(self) -> bool:
        """True if something is ready in pool "" and lane ""."""
        return any(
            front
            or self.db.execute(
                "SELECT 1 FROM tasks WHERE id >= ? AND id < ? LIMIT 1", (head, floor + PLACES)
            ).fetchone()
            for floor, head, front in lanes.heads(self.db, self.queue)
        )

    def waits(self) -> int:
        """Ready and delayed tasks of the queue."""
        self.flush()
        ready = sum(
            front + lanes.tail(self.db, floor >> PLACE_BITS) - head
            for floor, head, front in lanes.heads(self.db, self.queue)
        )
        [(delayed,)] = self.db.execute("SELECT count(*) FROM delayed WHERE queue = ?", (self.queue,)).fetchall()
        return int(ready + delayed + self.root.waiting)

    # turns

    def _round(self, priority: int, batch: Batch, limit: int) -> bool:
        """Each pool has its turn once; False if nothing was leased."""
        rows = self.db.execute(RINGS, (self.queue, priority, limit)).fetchall()
        before = len(batch.deliveries)
        for no, room in rows:
            pool = self.spot(no)
            rule = pool.own
            own = room or max(1 if rule is None else rule.weight, limit // len(rows))
            most = min(own, batch.room) if pool is self.root else self._most(pool, min(own, batch.room), batch)
            if most <= 0:
                continue
            got, more = self._from_pool(pool, priority, most, batch, limit)
            self._turn_pool(pool, priority, own - got, more)
            if batch.room <= 0:
                break
        return len(batch.deliveries) > before

    def _turn_pool(self, pool: Spot, priority: int, left: int, more: bool) -> None:
        """Write how the turn of a pool has ended, or goes on."""
        if not more:
            self.unring(pool.no, priority)
        elif left > 0:
            self.db.execute("UPDATE rings SET room = ? WHERE pool = ? AND priority = ?", (left, pool.no, priority))
        else:
            [(turn,)] = self.db.execute(LAST_RING, (self.queue, priority)).fetchall()
            self.db.execute(
                "UPDATE rings SET turn = ?, room = 0 WHERE pool = ? AND priority = ?", (turn, pool.no, priority)
            )

    def _from_pool(self, pool: Spot, priority: int, most: int, batch: Batch, limit: int) -> tuple[int, bool]:
        """Lease of the lanes of a pool in turn; how many, and whether something is left that may go."""
        got = 0
        while True:
            rows = self.db.execute(STRANDS, (pool.no, priority, most - got + len(self._passed(pool)))).fetchall()
            if not rows:
                return got, False
            count = len(rows)
            if limit > 1 and count < limit:
                [(count,)] = self.db.execute(HOW_MANY, (pool.no, priority, limit)).fetchall()
            some = self._some_lanes(pool, priority, rows, most - got, batch, max(1, limit // count))
            got += some
            if batch.room <= 0 or got >= most or not some:
                left = self.db.execute(HOW_MANY, (pool.no, priority, 1)).fetchone()
                return got, bool(left[0])

    def _passed(self, pool: Spot) -> Counter[int]:
        """What this consumer holds, by spot: such lanes may have to be passed by."""
        return Counter() if self._mine is None else self._mine

    def _some_lanes(
        self, pool: Spot, priority: int, rows: list[tuple[int, int, int]], most: int, batch: Batch, share: int
    ) -> int:
        """A turn of each of these lanes, as far as there is room; how many were leased."""
        got = 0
        turned: list[tuple[int, int, int, int, int]] = []
        empty: list[tuple[int, int]] = []
        taken: list[tuple[int, int, int]] = []
        for no, room, ready in rows:
            lane = self.spot(no)
            rule = self.rule(lane) if lane.lane else None
            own = room or max(1 if rule is None else rule.weight, share)
            want = min(own, most - got, batch.room)
            many = self._most(lane, want, batch) if lane.lane else want
            if many <= 0:
                continue
            if no == self.root.no:
                some, left = self._plain_take(priority, many, batch)
            else:
                some = self._take(no, priority, min(many, ready), batch, taken)
                left = ready - some
            self._leased(lane, some)
            got += some
            if not left:
                empty.append((no, priority))
            elif some >= own:
                turned.append((self.behind(pool.no, priority), 0, left, no, priority))
            elif some:
                turned.append((-1, own - some, left, no, priority))
            if got >= most or batch.room <= 0:
                break
        self._write_lanes(turned, empty, taken)
        return got

    def _write_lanes(
        self,
        turned: list[tuple[int, int, int, int, int]],
        empty: list[tuple[int, int]],
        taken: list[tuple[int, int, int]],
    ) -> None:
        self.db.executemany(UNLINE, taken)
        self.db.executemany("DELETE FROM strands WHERE spot = ? AND priority = ?", empty)
        self.db.executemany(
            """UPDATE strands SET turn = CASE WHEN ?1 < 0 THEN turn ELSE ?1 END, room = ?2, ready = ?3
               WHERE spot = ?4 AND priority = ?5""",
            turned,
        )

    # budgets

    def _most(self, spot: Spot, want: int, batch: Batch) -> int:
        """How many of `want` this consumer may lease of a spot now; closes it if nobody may."""
        if spot.closed:
            return 0
        rule = self.rule(spot)
        free = spot.free(rule, self.wall)
        if free <= 0:
            self.close(spot)
            return 0
        if free == inf:
            return want
        return int(min(want, free, self._own_slots() - self._holds(batch)[spot.no]))

    def _leased(self, lane: Spot, count: int) -> None:
        """Count leases, and close whoever may have no more."""
        if not count:
            return
        for spot in self.chain(lane.no):
            spot.running += count
            if spot is not self.root or lane is not self.root:
                spot.waiting -= count
            spot.dirty = True
            rule = self.rule(spot)
            if rule is None or not (rule.at_once or rule.rate):
                continue
            if rule.rate:
                spot.spend(rule, count, self.wall)
            if self._mine is not None:
                self._mine[spot.no] += count
            if spot.free(rule, self.wall) <= 0:
                self.close(spot)

    def _own_slots(self) -> int:
        if self._slots is None:
            [(terms,)] = self.db.execute("SELECT terms FROM consumers WHERE no = ?", (self._me,)).fetchall()
            self._slots = int(json.loads(terms).get("slots", 1))
        return self._slots

    def _holds(self, batch: Batch) -> Counter[int]:
        """What this consumer holds of each spot."""
        if self._mine is None:
            self._mine = Counter({self.root.no: spans.size(batch.held)})
            for _, id, length in batch.held:
                if id < 0:
                    for (no,) in self.db.execute(
                        "SELECT spot FROM tasks WHERE id BETWEEN ? AND ?", (id, id + length - 1)
                    ):
                        for spot in self.chain(no)[:-1]:
                            self._mine[spot.no] += 1
        return self._mine

    # tasks

    def _take(self, no: int, priority: int, many: int, batch: Batch, taken: list[tuple[int, int, int]]) -> int:
        """Lease so many of a strand, the oldest first; how many were taken."""
        count, last = 0, 0
        for *row, ukey, text in self.db.execute(TAKE, (self.wall, no, priority, many)).fetchall():
            if not batch.add(*row):
                break
            count, last = count + 1, row[0]
            if ukey is not None:
                uniques.leased(self.db, last, ukey, text, self.wall)
        if count:
            taken.append((no, priority, last))
        return count

    def line_up_plain(self) -> None:
        """Have what was pushed without a ticket take turns, as lane "" of pool ""."""
        self._plain = {}
        priorities = dict(self.db.execute("SELECT no, priority FROM lanes WHERE queue = ?", (self.queue,)).fetchall())
        for floor, head, front in lanes.heads(self.db, self.queue):
            if (
                front
                or self.db.execute(
                    "SELECT 1 FROM tasks WHERE id >= ? AND id < ? LIMIT 1", (head, floor + PLACES)
                ).fetchone()
            ):
                self._plain[priorities[floor >> PLACE_BITS]] = floor, head, front
        if not self._plain:
            return
        root = self.root.no
        there = {row[0] for row in self.db.execute("SELECT priority FROM strands WHERE spot = ?", (root,))}
        for priority in self._plain.keys() - there:
            self.db.execute(
                "INSERT INTO strands (spot, priority, pool, turn, ready, may) VALUES (?, ?, ?, ?, 0, 1)",
                (root, priority, root, self.behind(root, priority)),
            )
            self.ring(self.root, priority)

    def _plain_take(self, priority: int, many: int, batch: Batch) -> tuple[int, int]:
        """Lease so many of pool "" and lane "": how many were taken; 1 if some are left, else 0."""
        floor, head, front = self._plain.get(priority, (0, 0, 0))
        if not floor:
            return 0, 0
        count = self._some_plain(FRONT, (floor, head), min(many, front), batch)
        if count:
            last = batch.held[-1][1] + batch.held[-1][2] - 1
            self.db.execute("DELETE FROM front WHERE id >= ? AND id <= ?", (floor, last))
            front -= count
        rest = 0
        if not front and count < many and not batch.full:
            rest = self._some_plain(HEAD, (head, floor + PLACES), many - count, batch)
            head += rest
        self.db.execute("UPDATE lanes SET head = ?, front = ? WHERE no = ?", (head - floor, front, floor >> PLACE_BITS))
        self._plain[priority] = floor, head, front
        left = (
            front
            or self.db.execute(
                "SELECT 1 FROM tasks WHERE id >= ? AND id < ? LIMIT 1", (head, floor + PLACES)
            ).fetchone()
        )
        return count + rest, 1 if left else 0

    def _some_plain(self, statement: str, between: tuple[int, int], many: int, batch: Batch) -> int:
        count = 0
        if many > 0:
            for *row, ukey, text in self.db.execute(statement, (self.wall, *between, many)).fetchall():
                if not batch.add(*row):
                    break
                count += 1
                if ukey is not None:
                    uniques.leased(self.db, row[0], ukey, text, self.wall)
        return count
