"""Where tasks lie in the file: appended to a lane, given back to its front, moved to a due time, deleted.

Every function works inside the caller's transaction. `schema` tells the layout.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence

from regiment_local.schema import PLACE_BITS
from regiment_local.spans import Held

PLACES = (1 << PLACE_BITS) - 1
"""The last place of a lane; never reached."""

Row = tuple[bytes, float, int, bytes | None, float | None, str | None]
"""payload, since, count, note, parked, uid"""


def lane_of(db: sqlite3.Connection, queue: int, priority: int) -> int:
    """The number of the lane, which is made if it is absent."""
    found = db.execute("SELECT no FROM lanes WHERE queue = ? AND priority = ?", (queue, priority)).fetchone()
    if found is not None:
        return int(found[0])
    made = db.execute("INSERT INTO lanes (queue, priority, head) VALUES (?, ?, 0)", (queue, priority))
    assert made.lastrowid is not None
    return made.lastrowid


def tail(db: sqlite3.Connection, lane: int) -> int:
    """The id that the next task of the lane gets."""
    floor = lane << PLACE_BITS
    head, last = db.execute(
        "SELECT head, (SELECT max(id) FROM tasks WHERE id >= ? AND id < ?) FROM lanes WHERE no = ?",
        (floor, floor + PLACES, lane),
    ).fetchone()
    # While the last ones are on lease the head is behind them; when they are done, their ids do not come again.
    return max(floor + int(head), 0 if last is None else int(last) + 1)


def heads(db: sqlite3.Connection, queue: int) -> list[tuple[int, int, int]]:
    """For each lane of a queue, in order of priority: the first id, the id at its head, how many are in `front`."""
    return [
        (lane << PLACE_BITS, (lane << PLACE_BITS) + head, front)
        for lane, head, front in db.execute(
            "SELECT no, head, front FROM lanes WHERE queue = ? ORDER BY priority", (queue,)
        ).fetchall()
    ]


def append(db: sqlite3.Connection, lane: int, rows: Sequence[Row]) -> None:
    """Make these tasks ready, in order, at the tail."""
    first = tail(db, lane)
    db.executemany(
        "INSERT INTO tasks (id, payload, since, count, note, parked, uid) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [(first + step, *row) for step, row in enumerate(rows)],
    )


def give_back(db: sqlite3.Connection, held: Sequence[Held], more: int = 0) -> None:
    """Make tasks that were on lease ready again, at the place they had, which is in front; `more` is added to count.

    What was leased last is given back by moving the head of its lane back; anything else is noted in `front`.
    """
    for _, id, length in reversed(held):
        if more:
            db.execute(
                "UPDATE tasks SET count = count + ? WHERE id BETWEEN ? AND ?",
                (more, id, id + length - 1),
            )
        lane, place = id >> PLACE_BITS, id & PLACES
        moved = db.execute("UPDATE lanes SET head = ? WHERE no = ? AND head = ?", (place, lane, place + length))
        if moved.rowcount == 0:
            db.executemany("INSERT INTO front VALUES (?)", [(id + step,) for step in range(length)])
            db.execute("UPDATE lanes SET front = front + ? WHERE no = ?", (length, lane))


def delete(db: sqlite3.Connection, held: Iterable[Held]) -> None:
    """Forget tasks that were on lease."""
    for _, id, length in held:
        db.execute("DELETE FROM tasks WHERE id BETWEEN ? AND ?", (id, id + length - 1))


def delay(db: sqlite3.Connection, id: int, due: float, parked: float | None = None) -> None:
    """Move a task that was on lease to the delayed ones; `parked` is noted if it was never parked."""
    db.execute(
        """INSERT INTO delayed (queue, due, priority, payload, count, note, parked, uid)
           SELECT l.queue, ?, l.priority, t.payload, t.count, t.note, coalesce(t.parked, ?), t.uid
           FROM tasks t JOIN lanes l ON l.no = ? WHERE t.id = ?""",
        (due, parked, id >> PLACE_BITS, id),
    )
    db.execute("DELETE FROM tasks WHERE id = ?", (id,))


def promote(db: sqlite3.Connection, queue: int, now: float, most: int) -> int:
    """Make due tasks ready, in due order, each at the tail of its priority; returns how many."""
    due = db.execute(
        """SELECT no, due, priority, payload, count, note, parked, uid FROM delayed
           WHERE queue = ? AND due <= ? ORDER BY due, no LIMIT ?""",
        (queue, now, most),
    ).fetchall()
    by_priority: dict[int, list[Row]] = {}
    for _, since, priority, payload, count, note, parked, uid in due:
        by_priority.setdefault(priority, []).append((payload, since, count, note, parked, uid))
    for priority, rows in by_priority.items():
        append(db, lane_of(db, queue, priority), rows)
    db.executemany("DELETE FROM delayed WHERE no = ?", [(row[0],) for row in due])
    return len(due)


def pass_by(db: sqlite3.Connection, lane: int, head: int, end: int) -> int:
    """Move the ready tasks from the head of a lane up to the id `end` to its front, where they keep their ids; how many."""
    if end <= head:
        return 0
    moved = db.execute("INSERT INTO front SELECT id FROM tasks WHERE id >= ? AND id < ?", (head, end)).rowcount
    db.execute("UPDATE lanes SET head = ?, front = front + ? WHERE no = ?", (end & PLACES, moved, lane))
    return moved


def forget(db: sqlite3.Connection, ids: Sequence[int]) -> None:
    """Forget ready tasks, which are all in the fronts of their lanes."""
    db.executemany("DELETE FROM tasks WHERE id = ?", [(id,) for id in ids])
    db.executemany("DELETE FROM front WHERE id = ?", [(id,) for id in ids])
    of = Counter(id >> PLACE_BITS for id in ids)
    db.executemany("UPDATE lanes SET front = front - ? WHERE no = ?", [(many, lane) for lane, many in of.items()])


def forget_delayed(db: sqlite3.Connection, numbers: Sequence[int]) -> int:
    """Forget delayed tasks; how many. If the highest number is among them, a row of no queue keeps it from coming again."""
    [(highest,)] = db.execute("SELECT max(no) FROM delayed").fetchall()
    gone = db.executemany("DELETE FROM delayed WHERE no = ?", [(no,) for no in numbers]).rowcount
    if numbers and highest in numbers:
        db.execute("DELETE FROM delayed WHERE queue = 0")
        db.execute(
            "INSERT INTO delayed (no, queue, due, priority, payload, count) VALUES (?, 0, 0, 0, x'', 0)", (highest,)
        )
    return gone
