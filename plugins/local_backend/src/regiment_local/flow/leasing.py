"""Leasing in turn: the highest priority first, in it pools in turn, in a pool lanes in turn, in a lane the oldest first."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from math import inf
from typing import Any

from regiment.contracts import Delivery
from regiment.contracts.flow import Rule
from regiment_local import lanes, spans
from regiment_local.flow import spots, uniques
from regiment_local.flow.batch import Batch, Turns
from regiment_local.flow.moving import Moving
from regiment_local.flow.spots import Spot
from regiment_local.lanes import PLACES
from regiment_local.schema import PLACE_BITS
from regiment_local.spans import Held

RINGS = """
SELECT priority, pool, room FROM rings WHERE queue = ? AND may = 1 AND priority > ? ORDER BY priority, turn LIMIT ?"""
STRANDS = f"""
SELECT s.room, s.ready, {spots.COLUMNS_OF_P}, t.id, t.payload, t.count, t.note, coalesce(? - t.parked, 0.0), t.ukey, t.ticket
FROM strands s JOIN spots p ON p.no = s.spot LEFT JOIN tasks t
ON t.id = (SELECT id FROM lined l WHERE l.spot = s.spot AND l.priority = s.priority ORDER BY id LIMIT 1)
WHERE s.pool = ? AND s.priority = ? AND s.may = 1 ORDER BY s.turn LIMIT ?"""
"""Lanes whose turn is next, each with the task that is first there (none of pool "" and lane "")."""
HOW_MANY = """
SELECT count(*) FROM (SELECT 1 FROM strands WHERE pool = ? AND priority = ? AND may = 1 LIMIT ?)"""
TURN_RING = """
UPDATE rings SET room = 0, turn = 1 + (SELECT max(turn) FROM rings WHERE queue = ?1 AND priority = ?2 AND may = 1)
WHERE pool = ?3 AND priority = ?2"""
PLAIN = f"""
SELECT no, priority, head, front FROM lanes l WHERE queue = ? AND (front OR EXISTS (
SELECT 1 FROM tasks WHERE id >= (l.no << {PLACE_BITS}) + l.head AND id < (l.no + 1) << {PLACE_BITS}))"""

TAKE = """
SELECT t.id, t.payload, t.count, t.note, coalesce(? - t.parked, 0.0), t.ukey, t.ticket
FROM lined l JOIN tasks t ON t.id = l.id WHERE l.spot = ? AND l.priority = ? AND l.id > ? ORDER BY l.id LIMIT ?"""
FRONT = """
SELECT t.id, t.payload, t.count, t.note, coalesce(? - t.parked, 0.0), t.ukey, t.ticket
FROM front f JOIN tasks t ON t.id = f.id WHERE f.id >= ? AND f.id < ? ORDER BY f.id LIMIT ?"""
HEAD = """
SELECT t.id, t.payload, t.count, t.note, coalesce(? - t.parked, 0.0), t.ukey, t.ticket
FROM tasks t WHERE t.id >= ? AND t.id < ? ORDER BY t.id LIMIT ?"""
ROOM_RING = "UPDATE rings SET room = ? WHERE pool = ? AND priority = ?"


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
            rows = self.db.execute(RINGS, (self.queue, priority, limit + 1)).fetchall()
            if not rows:
                break
            before, level = len(batch.deliveries), rows[0][0]
            self._round(level, [row[1:] for row in rows if row[0] == level], batch, limit)
            if len(batch.deliveries) == before:
                priority = level  # nothing more of it may go
        self._leased(self.root, len(batch.deliveries))
        return batch.deliveries

    def plain_ready(self) -> bool:
        """True if something is ready in pool "" and lane ""."""
        return self.db.execute(PLAIN, (self.queue,)).fetchone() is not None

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

    def _round(self, priority: int, rows: list[tuple[int, int]], batch: Batch, limit: int) -> None:
        """Each of these pools has its turn once."""
        for no, room in rows:
            pool = self.spot(no)
            rule = pool.own
            own = room or max(1 if rule is None else rule.weight, limit // len(rows))
            most = min(own, batch.room)
            if pool is not self.root:
                most = self._most(pool, most, batch)
            if most <= 0:
                continue
            got, more = self._from_pool(pool, priority, most, batch, limit)
            if pool is not self.root:
                self._leased(pool, got)
                self.root.waiting -= got
            if not more:
                self.unring(pool.no, priority)
            elif own > got:
                if own - got != room:
                    self.db.execute(ROOM_RING, (own - got, pool.no, priority))
            elif len(rows) > 1 or room:
                self.db.execute(TURN_RING, (self.queue, priority, pool.no))
            if batch.room <= 0:
                break

    def _from_pool(self, pool: Spot, priority: int, most: int, batch: Batch, limit: int) -> tuple[int, bool]:
        """Lease of the lanes of a pool in turn; how many, and whether something is left that may go."""
        got = 0
        while True:
            wanted = most - got + (len(self._mine) if self._mine else 0)
            rows = self.db.execute(STRANDS, (self.wall, pool.no, priority, wanted + 1)).fetchall()
            if not rows:
                return got, False
            count = len(rows)
            if wanted < count < limit:
                [(count,)] = self.db.execute(HOW_MANY, (pool.no, priority, limit)).fetchall()
            some, left = self._some_lanes(pool, priority, rows, most - got, batch, max(1, limit // count))
            got += some
            if batch.room <= 0 or got >= most or not some:
                return got, left

    def _some_lanes(
        self, pool: Spot, priority: int, rows: list[Any], most: int, batch: Batch, share: int
    ) -> tuple[int, bool]:
        """A turn of each of these lanes, as far as there is room: how many were leased, and whether more may be."""
        got, left = 0, False
        turn = Turns(priority)
        for room, ready, *fields in rows:
            if got >= most or batch.room <= 0:
                left = True
                break
            no = fields[0]
            lane = self._spots.get(no) or self._keep(fields[: spots.WIDTH])
            own, many = room or share, min(most - got, batch.room)
            rule = None
            if lane.lane:
                rule = self.rule(lane)
                own = room or max(1 if rule is None else rule.weight, share)
                many = min(own, many) if rule is None and not lane.closed else self._most(lane, min(own, many), batch)
            many = min(own, many)
            if many <= 0:
                left = left or not lane.closed
                continue
            if no == self.root.no:
                some, rest = self._plain_take(priority, many, batch)
            else:
                some, last = self._take(no, priority, min(many, ready), batch, fields[spots.WIDTH :])
                rest = ready - some
                turn.took(no, some, last)
            got += some
            if lane.lane:
                lane.running += some
                lane.waiting -= some
                lane.dirty = True
                if rule is not None:
                    self._close_if_spent(lane, rule, some)
                if pool is self.root:
                    self.root.waiting -= some
            turn.ended(no, some, own, rest, lambda: self.behind(pool.no, priority))
            left = left or bool(rest and not (lane.lane and lane.closed))
        turn.write(self.db)
        return got, left

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

    def _leased(self, spot: Spot, count: int) -> None:
        """Count leases of the queue, or of a pool, and close it if it may have no more."""
        if count:
            spot.running += count
            if spot is not self.root:
                spot.waiting -= count
            spot.dirty = True
            rule = spot.own
            if rule is not None:
                self._close_if_spent(spot, rule, count)

    def _close_if_spent(self, spot: Spot, rule: Rule, count: int) -> None:
        if rule.at_once or rule.rate:
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

    def _take(self, no: int, priority: int, many: int, batch: Batch, first: list[Any]) -> tuple[int, int]:
        """Lease so many of a strand, the oldest first, which is `first`: how many were taken, and the id of the last one."""
        count, last = 0, 0
        rows = [first]
        if many > 1:
            rows += self.db.execute(TAKE, (self.wall, no, priority, first[0], many - 1)).fetchall()
        for id, payload, tried, note, parked, ukey, text in rows:
            if not batch.add(id, payload, tried, note, parked):
                break
            count, last = count + 1, id
            if ukey is not None:
                uniques.leased(self.db, id, ukey, text, self.wall)
        return count, last

    def line_up_plain(self) -> None:
        """Have what was pushed without a ticket take turns, as lane "" of pool ""."""
        self._plain = {
            priority: (no << PLACE_BITS, (no << PLACE_BITS) + head, front)
            for no, priority, head, front in self.db.execute(PLAIN, (self.queue,)).fetchall()
        }
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
