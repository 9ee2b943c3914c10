"""The extra `ledger` in the file: entries stand under the id of their task, which goes with it wherever it goes.

A task that the user gave no id gets one at its first entry. The tables are made by the first entry in a file; one without stays as it was, and
no exchange does more than before. What is deleted takes its entries along, by triggers: also where a release deletes that does not
know the extra. (Such a release loses the entries of a task that it buries.)
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from regiment.contracts import merged_entries
from regiment_local import spans
from regiment_local.base import Base, number_of
from regiment_local.entries import NONE
from regiment_local.flow.layout import ENTERED
from regiment_local.schema import LIVING

GONE = """
CREATE TRIGGER entered_{what}_{table} AFTER {when} ON {table} WHEN OLD.uid IS NOT NULL {more}
BEGIN
    DELETE FROM entered WHERE uid = OLD.uid
    AND NOT EXISTS (SELECT 1 FROM carrying)
    AND NOT EXISTS (SELECT 1 FROM tasks WHERE uid = OLD.uid) AND NOT EXISTS (SELECT 1 FROM delayed WHERE uid = OLD.uid); END"""

TABLES = ";\n".join(
    [
        """CREATE TABLE entered (
    uid TEXT NOT NULL,                  -- of a task
    name TEXT NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (uid, name)
) WITHOUT ROWID""",
        """CREATE TABLE buried (
    letter INTEGER NOT NULL,
    name TEXT NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (letter, name)
) WITHOUT ROWID""",
        "CREATE TABLE carrying (one INTEGER)",
        """CREATE TRIGGER buried_gone AFTER DELETE ON letters
BEGIN DELETE FROM buried WHERE letter = OLD.no; END""",
        *(GONE.format(what="gone", table=table, when="DELETE", more="") for table in ("tasks", "delayed")),
        *(
            GONE.format(what="other", table=table, when="UPDATE OF uid", more="AND NEW.uid IS NOT OLD.uid")
            for table in ("tasks", "delayed")
        ),
    ]
)

HOLDER = "SELECT held FROM consumers WHERE queue = ? AND name = ? AND state = ? AND held <> ''"


class Ledger(Base):
    """enter."""

    def enter(
        self, queue: str, consumer: str, receipt: int, entries: Mapping[str, bytes] = NONE
    ) -> Mapping[str, bytes] | None:
        def look(db: sqlite3.Connection) -> Mapping[str, bytes] | None:
            found = _held(db, queue, consumer, receipt)
            return None if found is None else self._entered(db, found[1])

        if not entries:
            return self._read(look, None)
        return self._write_durably(self._enter, queue, consumer, receipt, entries)

    def _enter(
        self, db: sqlite3.Connection, queue: str, consumer: str, receipt: int, entries: Mapping[str, bytes]
    ) -> Mapping[str, bytes] | None:
        found = _held(db, queue, consumer, receipt)
        if found is None:
            return None
        id, uid = found
        both = merged_entries(self._entered(db, uid), entries)
        self._make(db, "entered", TABLES)
        db.execute("UPDATE queues SET paused = paused | ? WHERE name = ? AND NOT paused & ?", (ENTERED, queue, ENTERED))
        if uid is None:
            uid = new_uid()
            db.execute("UPDATE tasks SET uid = ? WHERE id = ?", (uid, id))
        rows = [(uid, name, both[name]) for name in entries]
        db.executemany("INSERT OR REPLACE INTO entered VALUES (?, ?, ?)", rows)
        return both

    def _entered(self, db: sqlite3.Connection, uid: str | None) -> Mapping[str, bytes]:
        if uid is None or not self._has(db, "entered"):
            return NONE
        return dict(db.execute("SELECT name, value FROM entered WHERE uid = ?", (uid,)).fetchall())


def new_uid() -> str:
    """An id that no user gives: it has no number of a queue."""
    return f"entered:{secrets.token_hex(12)}"


def bury(db: sqlite3.Connection, id: int) -> None:
    """The letter that was made last is of this task, which is about to be deleted: the entries go to the letter."""
    [(letter,)] = db.execute("SELECT last_insert_rowid()").fetchall()
    db.execute(
        "INSERT INTO buried SELECT ?, name, value FROM entered WHERE uid = (SELECT uid FROM tasks WHERE id = ?)",
        (letter, id),
    )


@contextmanager
def carrying(db: sqlite3.Connection) -> Iterator[None]:
    """In this part of a transaction a task may be deleted before it stands where it goes: its entries stay."""
    db.execute("INSERT INTO carrying VALUES (1)")
    yield
    db.execute("DELETE FROM carrying")


def dig(db: sqlite3.Connection, letter: int) -> list[tuple[str, bytes]]:
    """The entries of a letter."""
    return db.execute("SELECT name, value FROM buried WHERE letter = ?", (letter,)).fetchall()


def restore(db: sqlite3.Connection, uid: str, entries: Sequence[tuple[str, bytes]]) -> None:
    """The task with this id was revived: its entries are its own again."""
    db.executemany("INSERT INTO entered VALUES (?, ?, ?)", [(uid, *entry) for entry in entries])


def _held(db: sqlite3.Connection, queue: str, consumer: str, receipt: int) -> tuple[int, str | None] | None:
    """Number and id of the task that this consumer holds under this receipt."""
    row = db.execute(HOLDER, (number_of(db, queue), consumer, LIVING)).fetchone()
    inside = [] if row is None else spans.cut(spans.parse(row[0]), receipt, receipt)[0]
    if not inside:
        return None
    [(_, id, _)] = inside
    [(uid,)] = db.execute("SELECT uid FROM tasks WHERE id = ?", (id,)).fetchall()
    return id, uid
