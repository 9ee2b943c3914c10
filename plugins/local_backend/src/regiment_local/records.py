"""Records beside a queue: kept by many in one statement, read, listed, and swept when their time is over.

All times to live are seconds of the wall clock, as due times are. The tables are made by the first effect that a file
sees (`schema.EFFECTS`): until then there is nothing to read.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence

from regiment.contracts import Record, Tally
from regiment_local import joins, schema
from regiment_local.base import Base, number_of

KEEP = """
INSERT INTO records (queue, key, rank, version, until, listed, value) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (queue, key) DO UPDATE SET
    rank = excluded.rank, version = excluded.version, until = excluded.until, listed = excluded.listed, value = excluded.value
WHERE excluded.rank >= rank OR until <= ?"""
"""The last parameter is the time: who has expired stands in nobody's way."""

NEXT = """
UPDATE lanes SET head = head + 1 WHERE queue = 0 AND priority = 0 RETURNING head, front, (SELECT max(until) FROM followed)"""
"""The number of this step, the place of the last listed record, and the end of the last registration."""

SWEEP_EVERY = 32
"""Records that are kept between two sweeps, or more."""

SWEPT = 3
"""A sweep looks at so many records for each that was kept since the one before: while as many expire as are kept, at most a
third of a file's records are expired ones."""

BEHIND = "SELECT queue, key FROM records WHERE (queue, key) > (?, ?) ORDER BY queue, key LIMIT 1 OFFSET ?"

Row = tuple[int, str, int, int, float | None, int | None, bytes, float]
"""The parameters of KEEP."""


def look(db: sqlite3.Connection, queue: int | None, key: str, wall: float) -> Record | None:
    """The record with this key; None if there is none, or none any more."""
    row = db.execute(
        "SELECT value, version, rank, until FROM records WHERE queue = ? AND key = ?", (queue, key)
    ).fetchone()
    if row is None or (row[3] is not None and row[3] <= wall):
        return None
    return Record(row[0], row[1], row[2])


def sweep(db: sqlite3.Connection, wall: float, most: int) -> None:
    """Forget the expired ones of the next `most` records. (An index by their end would cost each of them more than the look.)"""
    [start] = db.execute("SELECT queue, key FROM hand").fetchall()
    end = db.execute(BEHIND, (*start, most)).fetchone()
    if end is None:
        db.execute("DELETE FROM records WHERE (queue, key) > (?, ?) AND until <= ?", (*start, wall))
        end = (0, "")
    else:
        db.execute(
            "DELETE FROM records WHERE (queue, key) > (?, ?) AND (queue, key) <= (?, ?) AND until <= ?",
            (*start, *end, wall),
        )
    db.execute("UPDATE hand SET queue = ?, key = ?", end)


class Records(Base):
    """records, listed, tallies."""

    def _is_laid(self, db: sqlite3.Connection) -> bool:
        """True if the file has the tables of the extra."""
        return self._has(db, "records")

    def _lay(self, db: sqlite3.Connection) -> None:
        """Make the tables of the extra in this transaction, if the file has none yet."""
        self._make(db, "records", schema.EFFECTS)

    def records(self, queue: str, keys: Sequence[str]) -> Sequence[Record | None]:
        def work(db: sqlite3.Connection) -> list[Record | None]:
            if not self._is_laid(db):
                return [None] * len(keys)
            number, wall = number_of(db, queue), time.time()
            return [look(db, number, key, wall) for key in keys]

        return self._read(work, [None] * len(keys))

    def listed(self, queue: str, limit: int = 100, *, after: str | None = None) -> Sequence[str]:
        def work(db: sqlite3.Connection) -> list[str]:
            if not self._is_laid(db):
                return []
            number, behind = number_of(db, queue), 2**62
            if after is not None:
                found = db.execute("SELECT listed FROM records WHERE queue = ? AND key = ?", (number, after)).fetchone()
                behind = 0 if found is None or found[0] is None else found[0]
            rows = db.execute(
                """SELECT key FROM records WHERE queue = ? AND listed IS NOT NULL AND listed < ?
                   AND (until IS NULL OR until > ?) ORDER BY listed DESC LIMIT ?""",
                (number, behind, time.time(), max(0, limit)),
            )
            return [row[0] for row in rows]

        return self._read(work, [])

    def tallies(self, queue: str, joins: Sequence[str]) -> Sequence[Tally | None]:
        def work(db: sqlite3.Connection) -> list[Tally | None]:
            if not self._is_laid(db):
                return [None] * len(joins)
            number, wall = number_of(db, queue), time.time()
            return [_tally(db, number, name, wall) for name in joins]

        return self._read(work, [None] * len(joins))


def _tally(db: sqlite3.Connection, queue: int | None, name: str, wall: float) -> Tally | None:
    row = db.execute(joins.LOOK, (queue, name)).fetchone()
    return None if row is None or row[5] <= wall else joins.State(row, wall).tally()
