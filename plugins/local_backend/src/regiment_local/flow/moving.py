"""What becomes of tasks in a queue with the extra `flow`: the verbs of `lanes`, each with its counts and its keys."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence

from regiment_local import lanes
from regiment_local.flow import uniques
from regiment_local.flow.counting import Counting
from regiment_local.schema import PLACE_BITS
from regiment_local.spans import Held

Task = tuple[bytes, float, int, bytes | None, float | None, str | None, int | None, str | None, str | None]
"""payload, since, count, note, parked, uid, spot, ukey, ticket"""

COLUMNS = "payload, since, count, note, parked, uid, spot, ukey, ticket"
READY = f"INSERT INTO tasks (id, {COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
DELETE_RANGE = "DELETE FROM tasks WHERE id BETWEEN ? AND ? RETURNING spot, ukey"
DELETE_MANY = "DELETE FROM tasks WHERE id IN (SELECT value FROM json_each(?)) RETURNING spot, ukey"
DELAYED = """INSERT INTO delayed (queue, due, priority, payload, count, note, parked, uid, spot, ukey, ticket)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
DELAY = """INSERT INTO delayed (queue, due, priority, payload, count, note, parked, uid, spot, ukey, ticket)
SELECT ?, ?, l.priority, t.payload, t.count, t.note, coalesce(t.parked, ?), t.uid, t.spot, t.ukey, t.ticket
FROM tasks t JOIN lanes l ON l.no = ? WHERE t.id = ?"""


class Moving(Counting):
    """delete, give_back, delay, promote, bury: of what was on lease; make_ready and make_delayed: of what comes in."""

    def make_ready(self, priority: int, rows: Sequence[Task]) -> None:
        """Make these tasks ready, in order, each at the tail of its lane. They are counted by who calls."""
        new, tail = [], None
        for row in rows:
            spot = row[6]
            if spot is None:
                if tail is None:
                    tail = lanes.tail(self.db, lanes.lane_of(self.db, self.queue, priority))
                new.append((tail, *row))
                tail += 1
                self.opened = self.opened or not self.root.closed
            else:
                id = self.new_id(priority)
                new.append((id, *row))
                self.line(spot, priority, id)
        self.db.executemany(READY, new)

    def make_delayed(self, due: float, priority: int, rows: Sequence[Task]) -> None:
        """Put these tasks aside. They are counted by who calls."""
        self.db.executemany(DELAYED, [(self.queue, due, priority, row[0], *row[2:]) for row in rows])

    def delete(self, db: sqlite3.Connection, held: Iterable[Held]) -> None:
        """Forget tasks that were on lease."""
        single: list[int] = []
        for _, id, length in held:
            if length == 1:
                single.append(id)
            else:
                self._gone(db.execute(DELETE_RANGE, (id, id + length - 1)).fetchall())
        if len(single) == 1:
            self._gone(db.execute(DELETE_RANGE, (single[0], single[0])).fetchall())
        elif single:
            self._gone(db.execute(DELETE_MANY, (json.dumps(single),)).fetchall())

    def bury(self, db: sqlite3.Connection, id: int) -> None:
        """Forget a task that was on lease; the letter that was made of it last has its ticket."""
        [(spot, text)] = db.execute("SELECT spot, ticket FROM tasks WHERE id = ?", (id,)).fetchall()
        if spot is not None or text is not None:
            db.execute("UPDATE letters SET ticket = ? WHERE no = last_insert_rowid()", (self.letter(spot, text),))
        self.delete(db, [(0, id, 1)])

    def letter(self, spot: int | None, text: str | None) -> str:
        """A ticket as a letter has it: with the names of pool and lane."""
        found = self.root if spot is None else self.spot(spot)
        return uniques.write(uniques.unpack(found.pool, found.lane, text))

    def _gone(self, rows: Sequence[tuple[int | None, str | None]]) -> None:
        many = Counter(spot for spot, _ in rows)
        self.load([spot for spot in many if spot is not None])
        for spot, number in many.items():
            self.count(spot, -number, 0)
        keys = [ukey for _, ukey in rows if ukey is not None]
        if keys:
            uniques.ended(self.db, keys, self.wall)

    def give_back(self, db: sqlite3.Connection, held: Sequence[Held], more: int = 0, back: bool = False) -> None:
        """Make tasks that were on lease ready again, in front of their lanes; if they come `back`, no rate has counted them."""
        for span in held:
            _, id, length = span
            if id >= 0:
                lanes.give_back(db, [span], more)
                self.returned([None] * length, back)
                self.opened = self.opened or not self.root.closed
                continue
            if more:
                db.execute("UPDATE tasks SET count = count + ? WHERE id BETWEEN ? AND ?", (more, id, id + length - 1))
            rows = db.execute("SELECT id, spot FROM tasks WHERE id BETWEEN ? AND ?", (id, id + length - 1)).fetchall()
            for one, spot in rows:
                self.line(spot, self.priority_of(one), one)
            self.returned([spot for _, spot in rows], back)

    def returned(self, spots: Sequence[int | None], back: bool) -> None:
        """Count what was on lease and waits again."""
        for no in spots:
            self.count(no, -1, 1)
            for spot in self.chain(no) if back else ():
                rule = self.rule(spot)
                if rule is not None and rule.rate:
                    spot.spend(rule, -1, self.wall)

    def delay(self, db: sqlite3.Connection, id: int, due: float, parked: float | None = None) -> None:
        """Move a task that was on lease to the delayed ones; `parked` is noted if it was never parked."""
        db.execute(DELAY, (self.queue, due, parked, id >> PLACE_BITS, id))
        [(spot,)] = db.execute("DELETE FROM tasks WHERE id = ? RETURNING spot", (id,)).fetchall()
        self.count(spot, -1, 1)

    def promote(self, db: sqlite3.Connection, queue: int, now: float, most: int) -> int:
        """Make due tasks ready, in due order, each at the tail of its lane; returns how many."""
        due = db.execute(
            """SELECT no, priority, payload, due, count, note, parked, uid, spot, ukey, ticket FROM delayed
               WHERE queue = ? AND due <= ? ORDER BY due, no LIMIT ?""",
            (queue, now, most),
        ).fetchall()
        by_priority: dict[int, list[Task]] = {}
        for _, priority, *row in due:
            by_priority.setdefault(priority, []).append(tuple(row))
        for priority, rows in by_priority.items():
            self.make_ready(priority, rows)
        db.executemany("DELETE FROM delayed WHERE no = ?", [(row[0],) for row in due])
        return len(due)
