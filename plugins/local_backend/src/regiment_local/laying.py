"""Laying out a database file: its tables, its settings, and what a new boot of the machine changes."""

from __future__ import annotations

import sqlite3
import time

from regiment.errors import StoreError
from regiment_local import files, schema

AUTOCHECKPOINT = 2000
"""Pages in the write-ahead log from which SQLite copies it into the database by itself (8 MB)."""

LOG_LIMIT = 8 * 1024 * 1024
"""Bytes above which a connection that is about to sleep empties the write-ahead log."""


def boot() -> float:
    """Seconds of the boot clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class NewerLayout(StoreError):
    """A newer release has made the file."""

    rule = "ST04"
    """The rule of `regiment doctor` that says so."""


def version(handle: sqlite3.Connection, path: str) -> int:
    """The layout of the file, 0 if it has none yet. Raises `NewerLayout`, or `StoreError` for no file of ours."""
    # The tables first: whoever makes them at this moment marks the file in the same step.
    (tables,) = handle.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (found,) = handle.execute("PRAGMA user_version").fetchone()
    (application,) = handle.execute("PRAGMA application_id").fetchone()
    if tables and application != schema.APPLICATION:
        raise StoreError(f"{path} is an SQLite database, but not one of regiment. Name another path for the queue")
    if found > schema.FLOW_LAYOUT:
        raise NewerLayout(
            f"{path} has layout {found}, made by a newer regiment; this one knows layout {schema.FLOW_LAYOUT}. "
            f"Upgrade regiment-local here"
        )
    return int(found)


def prepare(handle: sqlite3.Connection, path: str, synchronous: str) -> None:
    """Set this connection up, and in one transaction make the tables if the file has none."""
    version(handle, path)
    (mode,) = handle.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise StoreError(
            f"{path}: SQLite's journal_mode is {mode!r} and did not become 'wal', which regiment needs. "
            f"Is the file on a local disk, and its folder writable?"
        )
    handle.execute(f"PRAGMA synchronous = {synchronous}")
    handle.execute(f"PRAGMA wal_autocheckpoint = {AUTOCHECKPOINT}")
    handle.execute(f"PRAGMA journal_size_limit = {LOG_LIMIT}")
    handle.execute("BEGIN IMMEDIATE")
    try:
        if version(handle, path) == 0:
            for statement in schema.TABLES.split(";\n"):
                if statement.strip():
                    handle.execute(statement)
            handle.execute(f"PRAGMA application_id = {schema.APPLICATION}")
            handle.execute(f"PRAGMA user_version = {schema.LAYOUT}")
        _after_boot(handle)
        handle.execute("COMMIT")
    except BaseException:
        roll_back(handle)
        raise


def _after_boot(handle: sqlite3.Connection) -> None:
    """If the machine was started anew since the last opening, its boot clock was too: every lease starts now."""
    current = files.boot_id()
    known = handle.execute("SELECT value FROM facts WHERE name = 'boot'").fetchone()
    if known == (current,):
        return
    now = boot()
    handle.execute("UPDATE consumers SET deadline = ? + lease WHERE state = ?", (now, schema.LIVING))
    handle.execute("UPDATE consumers SET deadline = ? WHERE state = ?", (now, schema.TAKEN))
    handle.execute("UPDATE queues SET stamp = ?", (now,))
    for statement in ("DELETE FROM locks", "DELETE FROM presence", "DELETE FROM waiters"):
        handle.execute(statement)
    if handle.execute("SELECT 1 FROM sqlite_master WHERE name = 'followed'").fetchone():
        handle.execute("DELETE FROM followed")
    handle.execute("INSERT OR REPLACE INTO facts VALUES ('boot', ?)", (current,))


def roll_back(handle: sqlite3.Connection) -> None:
    """Undo the transaction, if one is open."""
    if handle.in_transaction:
        try:
            handle.execute("ROLLBACK")
        except sqlite3.Error:
            pass  # SQLite has rolled back by itself
