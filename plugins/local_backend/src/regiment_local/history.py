"""The extra `history` in the file: a row for each minute and hour of a queue in which anything ended, and one for all that ever did."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Sequence
from typing import Literal

from regiment.contracts import Past, Tallied
from regiment.contracts.history import KEPT, SOURCE_KEPT, STEPS, added, past, refuse_wrong
from regiment_local.base import Base

TABLES = """
CREATE TABLE history (
    queue TEXT NOT NULL, step INTEGER NOT NULL, at INTEGER NOT NULL, until INTEGER NOT NULL, slice TEXT NOT NULL,
    PRIMARY KEY (queue, step, at)
) WITHOUT ROWID;
CREATE INDEX history_until ON history (until);
CREATE TABLE history_sources (
    queue TEXT NOT NULL, source TEXT NOT NULL, number INTEGER NOT NULL, until INTEGER NOT NULL, PRIMARY KEY (queue, source)
) WITHOUT ROWID;
"""


class History(Base):
    """record, history."""

    def record(self, queue: str, source: str, number: int, ended: Sequence[Tallied]) -> bool:
        refuse_wrong(ended)
        return self._write(self._record, queue, source, number, ended)

    def _record(self, db: sqlite3.Connection, queue: str, source: str, number: int, ended: Sequence[Tallied]) -> bool:
        self._make(db, "history", TABLES)
        now = int(time.time())
        taken = db.execute(
            "INSERT INTO history_sources VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE "
            "SET number = excluded.number, until = excluded.until WHERE number < excluded.number",
            (queue, source, number, now + SOURCE_KEPT),
        ).rowcount
        if not taken:
            return False
        names: Sequence[str] = ()
        for step in ("ever", "hour", "minute"):
            seconds = STEPS[step]
            key = (queue, seconds, now - now % seconds if seconds else 0)
            row = db.execute("SELECT slice FROM history WHERE queue = ? AND step = ? AND at = ?", key).fetchone()
            slice = added(json.loads(row[0]) if row else {}, ended, now, names)
            names = names or list(slice)
            db.execute(
                "INSERT OR REPLACE INTO history VALUES (?, ?, ?, ?, ?)", (*key, now + KEPT[step], json.dumps(slice))
            )
        db.execute("DELETE FROM history WHERE until <= ?", (now,))
        db.execute("DELETE FROM history_sources WHERE until <= ?", (now,))
        return True

    def history(self, queues: Sequence[str], step: Literal["minute", "hour", "ever"], seconds: float) -> Sequence[Past]:
        def work(db: sqlite3.Connection) -> list[Past]:
            if not self._has(db, "history"):
                return []
            now, length, found = time.time(), STEPS[step], []
            for queue in queues:
                rows = db.execute(
                    "SELECT at, slice FROM history WHERE queue = ? AND step = ? AND at > ? AND until > ? ORDER BY at",
                    (queue, length, now - seconds - length if length else -1, now),
                )
                found += [past(queue, at, json.loads(slice)) for at, slice in rows]
            return found

        return self._read(work, [])
