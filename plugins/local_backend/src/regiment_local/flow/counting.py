"""The budgets of one queue within one transaction: read once, counted in memory, written at the end of the step."""

from __future__ import annotations

import json
import sqlite3
import time
from collections import Counter
from collections.abc import Sequence
from math import inf
from typing import Any

from regiment.contracts.flow import Rule
from regiment_local import lanes, spans
from regiment_local.flow import spots
from regiment_local.flow.spots import Spot
from regiment_local.schema import PLACE_BITS

ROOT = f"""
SELECT {spots.COLUMNS}, (SELECT min(opens) FROM spots WHERE queue = q.queue AND closed = 1 AND waiting > 0 AND opens > 0),
    (SELECT min(opens) FROM spots WHERE queue = q.queue AND waiting = 0 AND running = 0 AND opens IS NOT NULL),
    (SELECT consumer FROM watchers w WHERE w.queue = q.queue)
FROM spots q WHERE queue = ? AND pool = '' AND lane = ''"""
MAKE = "INSERT INTO spots (queue, pool, lane) VALUES (?, ?, ?)"
LINE = "INSERT INTO lined VALUES (?, ?, ?)"
STRAND = """
INSERT INTO strands (spot, priority, pool, turn, ready, may) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (spot, priority) DO UPDATE SET ready = ready + excluded.ready"""
RING = """
INSERT OR IGNORE INTO rings (pool, priority, queue, turn, may)
SELECT ?1, ?2, ?3, coalesce((SELECT max(turn) FROM rings WHERE queue = ?3 AND priority = ?2 AND may = 1), 0) + 1, ?4"""
LAST = "SELECT coalesce(max(turn), 0) FROM strands WHERE pool = ? AND priority = ? AND may = 1"

SOME = """
SELECT 1 FROM rings r WHERE queue = ? AND may = 1
AND EXISTS (SELECT 1 FROM strands s WHERE s.pool = r.pool AND s.priority = r.priority AND s.may = 1) LIMIT 1"""

CLOSED = "SELECT no FROM spots WHERE queue = ? AND closed = 1 AND waiting > 0 AND opens <= ? ORDER BY opens LIMIT 64"
NEXT = "SELECT min(opens) FROM spots WHERE queue = ? AND closed = 1 AND waiting > 0 AND opens > ?"
IDLE = """
SELECT no FROM spots WHERE queue = ? AND waiting = 0 AND running = 0 AND opens IS NOT NULL AND opens <= ? ORDER BY opens LIMIT 16"""


class Counting:
    """`opened`: True if something may be leased that might not before."""

    def __init__(self, db: sqlite3.Connection, queue: int, name: str) -> None:
        self.db, self.queue, self.name = db, queue, name
        self.wall = time.time()
        self.fresh = False
        """True if the queue counts since this step: what runs is counted at its end."""
        self.opened = False
        self._spots: dict[int, Spot] = {}
        self._names: dict[tuple[str, str], Spot] = {}
        self._freed: dict[int, Spot] = {}
        self._lined: list[tuple[int, int, int]] = []
        self._more: Counter[tuple[int, int]] = Counter()
        self._lasts: dict[tuple[int, int], int] = {}
        self._rings: set[tuple[int, int]] = set()
        self._arenas: dict[int, tuple[int, int]] = {}
        """Priority -> first and next id of what stands in lanes."""
        self._levels: dict[int, int] = {}
        self.timed = self.due = False
        """True if a closed spot opens by itself; if it is time to look at some again."""
        self.watcher: int | None = None
        """Which consumer was told of the next time, if one was."""
        self.root = self._root()
        """The spot of the queue, and of pool ""."""

    # spots

    def _root(self) -> Spot:
        row = self.db.execute(ROOT, (self.queue,)).fetchone()
        if row is None:
            return self.named("", "")
        *fields, closed, idle, self.watcher = row
        self.timed = closed is not None
        self.due = (closed is not None and closed <= self.wall) or (idle is not None and idle <= self.wall)
        return self._keep(fields)

    def spot(self, no: int) -> Spot:
        """The spot with this number."""
        found = self._spots.get(no)
        if found is None:
            found = self._keep(self.db.execute(spots.BY_NUMBER, (no,)).fetchone())
        return found

    def load(self, numbers: Sequence[int]) -> None:
        """Read many spots at once."""
        new = [no for no in numbers if no not in self._spots]
        if len(new) > 1:
            for row in self.db.execute(spots.BY_NUMBERS, (json.dumps(new),)).fetchall():
                self._keep(row)

    def look(self, pool: str, lane: str) -> Spot | None:
        """The spot of this name, if there is one."""
        found = self._names.get((pool, lane))
        if found is None:
            row = self.db.execute(spots.BY_NAME, (self.queue, pool, lane)).fetchone()
            found = None if row is None else self._keep(row)
        return found

    def named(self, pool: str, lane: str) -> Spot:
        """The spot of this name, which is made if there is none."""
        found = self.look(pool, lane)
        if found is None:
            made = self.db.execute(MAKE, (self.queue, pool, lane))
            assert made.lastrowid is not None
            found = self._keep((made.lastrowid, pool, lane, 0, 0, 0.0, 0.0, 0, None, None, None))
            found.dirty = True  # else it would stay if nothing came of it
        return found

    def _keep(self, row: Sequence[Any]) -> Spot:
        found = self._spots[row[0]] = self._names[row[1], row[2]] = Spot(row)
        if found.opens is not None and found.closed:
            self.timed = True
        return found

    def pool_of(self, spot: Spot) -> Spot:
        """Its pool; a pool's is itself."""
        return self.named(spot.pool, "") if spot.lane else spot

    def rule(self, spot: Spot) -> Rule | None:
        """The rule that holds for it."""
        own = spot.own
        if own is None and spot.lane:
            pool = self.look(spot.pool, "")
            of_pool = None if pool is None else pool.own
            return None if of_pool is None else of_pool.lanes
        return own

    def free(self, spot: Spot) -> float:
        """How many may be leased of it now."""
        return spot.free(self.rule(spot), self.wall)

    def chain(self, no: int | None) -> list[Spot]:
        """What a task of this spot (None: of no lane) is charged to."""
        if no is None or no == self.root.no:
            return [self.root]
        spot = self.spot(no)
        if not spot.lane:
            return [spot, self.root]
        return [spot, self.named(spot.pool, ""), self.root] if spot.pool else [spot, self.root]

    # counts

    def count(self, no: int | None, running: int, waiting: int) -> None:
        """So many more run and wait. What waits of the queue is what is lined up, and is counted there."""
        for spot in self.chain(no):
            spot.running += running
            if spot is not self.root:
                spot.waiting += waiting
            spot.dirty = True
            if running < 0 and spot.closed:
                self._freed[spot.no] = spot

    def line(self, no: int, priority: int, id: int) -> None:
        """Put a ready task in its strand; `flush` writes it."""
        self._lined.append((no, priority, id))
        self._more[no, priority] += 1

    def flush(self) -> None:
        """Write what `line` has gathered."""
        if not self._lined:
            return
        self.db.executemany(LINE, self._lined)
        self.root.waiting += len(self._lined)
        self.root.dirty = True
        self._reopen(self.root)
        rows = []
        for (no, priority), many in self._more.items():
            spot = self.spot(no)
            pool = self.pool_of(spot)
            self._reopen(spot)
            self._reopen(pool)
            may = not (spot.lane and spot.closed)
            rows.append((no, priority, pool.no, self.behind(pool.no, priority), many, may))
            self.ring(pool, priority)
            if may and not pool.closed and not self.root.closed:
                self.opened = True
        self.db.executemany(STRAND, rows)
        self._lined.clear()
        self._more.clear()

    def unline(self, no: int, priority: int, id: int) -> None:
        """Take a task that is ready out of its strand; it is counted by who calls."""
        self.flush()
        self.db.execute("DELETE FROM lined WHERE spot = ? AND priority = ? AND id = ?", (no, priority, id))
        [(ready,)] = self.db.execute(
            "UPDATE strands SET ready = ready - 1 WHERE spot = ? AND priority = ? RETURNING ready", (no, priority)
        ).fetchall()
        if not ready:
            self.db.execute("DELETE FROM strands WHERE spot = ? AND priority = ?", (no, priority))
        self.root.waiting -= 1
        self.root.dirty = True

    def anew(self) -> None:
        """Nothing waits any more, and no spot is known as it was."""
        self._spots = {self.root.no: self.root}
        self._names = {("", ""): self.root}
        self._rings.clear()
        self._lasts.clear()
        self.root.waiting, self.root.dirty = 0, True

    def behind(self, pool: int, priority: int) -> int:
        """The turn behind all lanes of this pool."""
        last = self._lasts.get((pool, priority))
        if last is None:
            [(last,)] = self.db.execute(LAST, (pool, priority)).fetchall()
        self._lasts[pool, priority] = last + 1
        return last + 1

    def ring(self, pool: Spot, priority: int) -> None:
        """Have the pool take turns in this priority."""
        if (pool.no, priority) not in self._rings:
            self._rings.add((pool.no, priority))
            may = pool is self.root or not pool.closed
            self.db.execute(RING, (pool.no, priority, self.queue, may))

    def unring(self, pool: int, priority: int) -> None:
        """The pool has nothing more there that may be leased."""
        self._rings.discard((pool, priority))
        self.db.execute("DELETE FROM rings WHERE pool = ? AND priority = ?", (pool, priority))

    # opening and closing

    def close(self, spot: Spot) -> None:
        """Nothing of it may be leased until the event that lets it."""
        spot.closed, spot.opens, spot.dirty = 1, spot.opening(self.rule(spot), self.wall), True
        self.timed = self.timed or spot.opens is not None
        if spot.lane:
            self.db.execute("UPDATE strands SET may = 0 WHERE spot = ?", (spot.no,))
        elif spot is not self.root:
            self.db.execute("UPDATE rings SET may = 0 WHERE pool = ?", (spot.no,))

    def open(self, spot: Spot) -> None:
        """It may be leased again; it goes behind those that take turns."""
        spot.closed, spot.opens, spot.dirty, self.opened = 0, None, True, True
        if spot is self.root:
            pass
        elif spot.lane:
            pool = self.pool_of(spot)
            for (priority,) in self.db.execute(
                "SELECT priority FROM strands WHERE spot = ? AND may = 0", (spot.no,)
            ).fetchall():
                self.db.execute(
                    "UPDATE strands SET may = 1, room = 0, turn = ? WHERE spot = ? AND priority = ?",
                    (self.behind(pool.no, priority), spot.no, priority),
                )
                self.ring(pool, priority)
        else:
            self.db.execute(
                """UPDATE rings SET may = 1, room = 0, turn = 1 + coalesce(
                   (SELECT max(turn) FROM rings o WHERE o.queue = rings.queue AND o.priority = rings.priority AND o.may = 1), 0)
                   WHERE pool = ?""",
                (spot.no,),
            )

    def _reopen(self, spot: Spot) -> None:
        if spot.closed and self.free(spot) > 0:
            self.open(spot)

    def look_again(self) -> None:
        """Open what has been freed in this step, and what has its time now."""
        for spot in self._freed.values():
            self._reopen(spot)
        self._freed.clear()
        if self.root.closed:
            self._reopen(self.root)
        for statement in (CLOSED, IDLE) if self.due else ():
            for (no,) in self.db.execute(statement, (self.queue, self.wall)).fetchall():
                spot = self.spot(no)
                spot.dirty = True
                if spot.closed:
                    if self.free(spot) > 0:
                        self.open(spot)
                    else:
                        spot.opens = spot.opening(self.rule(spot), self.wall)

    # tasks

    def new_id(self, priority: int) -> int:
        """The id of the next task in a lane of this priority."""
        first, place = self._arenas.get(priority) or self._arena(priority)
        self._arenas[priority] = first, place + 1
        return place

    def _arena(self, priority: int) -> tuple[int, int]:
        select = "SELECT no, head FROM lanes WHERE queue = ? AND priority = ?"
        found = self.db.execute(select, (-self.queue, priority)).fetchone()
        if found is None:
            if self.db.execute("SELECT 1 FROM lanes WHERE no > 0 LIMIT 1").fetchone() is None:
                lanes.lane_of(self.db, self.queue, priority)  # else the first one without a ticket got number 0
            self.db.execute(
                "INSERT INTO lanes (no, queue, priority, head) SELECT min(0, coalesce(min(no), 0)) - 1, ?, ?, 0 FROM lanes",
                (-self.queue, priority),
            )
            found = self.db.execute(select, (-self.queue, priority)).fetchone()
        first = found[0] << PLACE_BITS
        return first, first + int(found[1])

    def priority_of(self, id: int) -> int:
        """The priority of a ready or leased task."""
        lane = id >> PLACE_BITS
        found = self._levels.get(lane)
        if found is None:
            [(found,)] = self.db.execute("SELECT priority FROM lanes WHERE no = ?", (lane,)).fetchall()
            self._levels[lane] = found
        return found

    def some(self) -> bool:
        """True if something may be leased that stands in lanes."""
        return not self.root.closed and self.db.execute(SOME, (self.queue,)).fetchone() is not None

    def next_opening(self) -> float | None:
        """When the first of what is closed opens by itself (wall clock), as far as something waits for it."""
        if self.root.closed:
            opens: float | None = self.root.opens
            return opens
        if not self.timed:
            return None
        [(found,)] = self.db.execute(NEXT, (self.queue, self.wall)).fetchall()
        return None if found is None else float(found)

    # the end

    def finish(self) -> None:
        """Write all that is not written yet."""
        self.flush()
        if self._freed:
            self.look_again()
        if self._arenas:
            self.db.executemany(
                "UPDATE lanes SET head = ? WHERE no = ?",
                [(place - first, first >> PLACE_BITS) for first, place in self._arenas.values()],
            )
        if self.fresh:
            held = self.db.execute("SELECT held FROM consumers WHERE queue = ? AND state < 2", (self.queue,)).fetchall()
            self.root.running = sum(spans.size(spans.parse(text)) for (text,) in held)
        gone, kept = [], []
        for spot in self._spots.values():
            if not spot.dirty:
                continue
            spot.dirty = False
            if spot.idle and spot is not self.root:
                if spot.gate <= self.wall and spot.tat <= self.wall:
                    gone.append(spot)
                    continue
                if not spot.closed or spot.opens is None or spot.opens <= self.wall:
                    spot.opens = max(spot.tat, spot.gate) if spot.gate < inf else None
            kept.append(spot)
        self.db.executemany(spots.WRITE, [(s.waiting, s.running, s.gate, s.tat, s.closed, s.opens, s.no) for s in kept])
        if gone:
            self.db.executemany("DELETE FROM spots WHERE no = ?", [(spot.no,) for spot in gone])
        for spot in gone:
            del self._spots[spot.no], self._names[spot.pool, spot.lane]
