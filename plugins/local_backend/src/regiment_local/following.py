"""Following records: who is registered, the marks that a kept record leaves, and the sleep until there is one (V1 to V5).

A mark is a number in the follower's own row: that of the step that kept the record. Numbers only grow, so hearing is reading
on from the last one heard, and writes nothing; the next `follow` forgets what was heard. The FIFO (`wake.py`)
only wakes: what is lost with it, or does not fit, is still in the table.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Mapping, Sequence
from typing import Any

from regiment.contracts import ANSWERED_VALUE, Followed, Record
from regiment_local import records, wake
from regiment_local.laying import boot
from regiment_local.records import Records

TOPIC = "kept"
"""What followers are called with."""

MARK_LIVES = 300.0
"""Seconds that a mark waits to be heard, at the least. Who has not looked for as long is told to follow all again."""

HEARD = 1000
"""Most marks that are heard at once."""

SWEPT = 1000
"""Most registrations that a `follow`, or a step while nobody follows, forgets because their time is over."""

MARK = """
UPDATE followed SET marked = ?
WHERE queue = ? AND key = ? AND marked = 0 AND until > ? AND rank <= (
    SELECT rank FROM records WHERE queue = ? AND key = ? AND version = ?)"""

MARKS = """
SELECT f.marked, f.queue, f.key, q.name, r.version, r.rank, r.until,
    CASE WHEN length(r.value) <= ? THEN r.value END
FROM followed f JOIN queues q ON q.no = f.queue LEFT JOIN records r ON r.queue = f.queue AND r.key = f.key
WHERE f.who = ? AND f.marked > 0 AND (f.marked, f.queue, f.key) > (?, ?, ?)
ORDER BY f.marked, f.queue, f.key LIMIT ?"""

FORGET = "DELETE FROM followed WHERE queue = ? AND key = ? AND who = ?"

START = (0, 0, "")

AFTER_ALL = 2**62
"""Behind the number of every queue."""


def mark(db: sqlite3.Connection, version: int, keys: Sequence[tuple[int, str]], last: float) -> list[str]:
    """Leave marks for who follows these keys and was not marked yet, if this step has kept them; whom to call.

    `last` is the end of the last registration.
    """
    now = boot()
    if last <= now:
        if last <= now - MARK_LIVES:
            sweep(db, now, SWEPT)
        return []
    rows = [(version, queue, key, now, queue, key, version) for queue, key in keys]
    if not db.executemany(MARK, rows).rowcount:
        return []
    return [
        row[0]
        for row in db.execute(
            "SELECT DISTINCT who FROM followed WHERE marked = ? AND marked > 0", (version,)
        ).fetchall()
    ]


def sweep(db: sqlite3.Connection, now: float, most: int) -> None:
    """Forget registrations, with their marks, whose time has been over for long; at most so many."""
    over = db.execute(
        "SELECT queue, key, who FROM followed WHERE until <= ? ORDER BY until LIMIT ?", (now - MARK_LIVES, most)
    ).fetchall()
    db.executemany(FORGET, over)


class Following(Records):
    """follow and heard."""

    _inbox: str | None = None
    """Under which this connector has registered; it keeps it when it is closed and opened again."""
    _inbox_of = 0
    """The process that made it: in a forked child it is another's."""
    _last = START
    """The mark that was heard last: step, queue, key."""
    _heard: Sequence[tuple[int, str]] = ()
    """Queue and key of what was heard since it followed last: these marks are to be forgotten."""
    _looked: float | None = None
    """When it looked for marks last (monotonic clock); None: it has not followed anything."""

    def follow(self, keys: Mapping[Followed, int], seconds: float = 60.0) -> Mapping[Followed, Record]:
        self._db()
        pipe = self._ears()
        found = self._write(self._follow, pipe.name, keys, seconds)
        self._heard = []
        self._looked = time.monotonic()
        return found

    def _follow(
        self, db: sqlite3.Connection, who: str, keys: Mapping[Followed, int], seconds: float
    ) -> dict[Followed, Record]:
        self._lay(db)
        now, wall = boot(), time.time()
        db.executemany(FORGET, [(queue, key, who) for queue, key in self._heard])
        sweep(db, now, 2 * len(keys) + SWEPT)
        found: dict[Followed, Record] = {}
        there: list[tuple[int, str, str]] = []
        absent: list[tuple[int, str, str, int, float]] = []
        for followed, rank in keys.items():
            queue, key = self._queue(db, followed[0]), followed[1]
            record = records.look(db, queue, key, wall)
            if record is not None and record.rank >= rank:
                found[followed] = record
                there.append((queue, key, who))
            else:
                absent.append((queue, key, who, rank, now + seconds))
        db.executemany(FORGET, there)
        db.executemany("INSERT OR REPLACE INTO followed VALUES (?, ?, ?, ?, ?, 0)", absent)
        return found

    def heard(self, seconds: float, wake_fd: int | None = None) -> Mapping[Followed, Record | None] | None:
        database, before = self._db(), self._inbox
        pipe = self._ears()
        if before is not None and pipe.name != before:
            return None  # what was followed, was by the process that forked this one
        self._note(pipe.drain())
        found = self._marks(pipe.name)
        if found is None or found:
            return found
        if seconds > 0.5:
            database.rest()
        self._note(pipe.sleep(seconds, wake_fd))
        return self._marks(pipe.name)

    def _ears(self) -> wake.Pipe:
        """The FIFO of this connector, under the name that it has registered with."""
        if self._inbox is not None and self._inbox_of == os.getpid():
            if self._pipe is None:
                self._pipe = wake.Pipe(self._wake_folder, self._inbox)
            if self._pipe.name == self._inbox:
                return self._pipe
        pipe = self._own_pipe()
        self._inbox, self._inbox_of = pipe.name, os.getpid()
        self._last, self._heard, self._looked = START, [], None
        return pipe

    def _note(self, called: set[str]) -> None:
        """What else was called is noted, as `wait` would."""
        for topic in called:
            self._waiting.pop(topic.removeprefix("queue:"), None)

    def _marks(self, who: str) -> dict[Followed, Record | None] | None:
        """What was marked since the last look; None if older marks may be gone."""
        if self._looked is None:
            return {}
        before, self._looked = self._looked, time.monotonic()
        if self._looked - before > MARK_LIVES / 2:
            return None
        asked = (ANSWERED_VALUE, who, *self._last, HEARD)

        def look(db: sqlite3.Connection) -> list[tuple[Any, ...]]:
            rows = db.execute(MARKS, asked).fetchall()
            if len(rows) == HEARD:
                self._last = (rows[-1][0], rows[-1][1], rows[-1][2])
            else:  # what is marked later has a higher number: the marks of others up to here are not looked at again
                [(version,)] = db.execute("SELECT head FROM lanes WHERE queue = 0 AND priority = 0").fetchall()
                self._last = (version, AFTER_ALL, "")
            return rows

        rows: list[tuple[Any, ...]] = self._read(look, [])
        self._heard = [*self._heard, *((row[1], row[2]) for row in rows)]
        wall = time.time()
        return {
            (name, key): None
            if value is None or (until is not None and until <= wall)
            else Record(value, version, rank)
            for _, _, key, name, version, rank, until, value in rows
        }
