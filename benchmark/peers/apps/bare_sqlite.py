"""The limit on SQLite: Python's sqlite3, insert at FULL; settle the last and lease the next in one transaction at NORMAL."""

from __future__ import annotations

import os
import select
import sqlite3

import bare
import tasks

PATH = tasks.STORE.removeprefix("sqlite:///")
TABLES = """
CREATE TABLE IF NOT EXISTS task (id INTEGER PRIMARY KEY, owner INT, payload BLOB);
CREATE INDEX IF NOT EXISTS ready ON task (id) WHERE owner IS NULL
"""
LEASE = """UPDATE task SET owner = 1 WHERE id IN (SELECT id FROM task WHERE owner IS NULL ORDER BY id LIMIT ?)
RETURNING id, payload"""
INSERT = "INSERT INTO task (payload) VALUES (?)"


def opened(synchronous: str) -> tuple[sqlite3.Connection, int]:
    """The database, and a pipe that wakes who waits for tasks."""
    db = sqlite3.connect(PATH, isolation_level=None, timeout=30)
    db.executescript(f"PRAGMA journal_mode=WAL; PRAGMA synchronous={synchronous}; {TABLES}")
    if not os.path.exists(PATH + ".wake"):
        os.mkfifo(PATH + ".wake")
    return db, os.open(PATH + ".wake", os.O_RDWR | os.O_NONBLOCK)


_opened: tuple[sqlite3.Connection, int] | None = None


def _insert(records: list[tuple[bytes]]) -> None:
    global _opened
    _opened = _opened or opened("FULL")
    db, wake = _opened
    db.execute("BEGIN IMMEDIATE")
    db.execute(INSERT, records[0]) if len(records) == 1 else db.executemany(INSERT, records)
    db.execute("COMMIT")
    try:
        os.write(wake, b"1")
    except BlockingIOError:
        pass  # full: there is enough in it to wake anyone


def push(task: str, numbers: range, body: str) -> None:
    for n in numbers:
        _insert([(bare.record(task, n, body),)])


def push_many(task: str, numbers: range, body: str) -> None:
    _insert([(bare.record(task, n, body),) for n in numbers])


def work() -> None:
    """Until it is killed."""
    db, wake = opened("NORMAL")
    done: list[tuple[int]] = []
    while True:
        db.execute("BEGIN IMMEDIATE")
        if done:
            db.execute("DELETE FROM task WHERE id BETWEEN ? AND ?", (done[0][0], done[-1][0]))
        held = db.execute(LEASE, (bare.BATCH,)).fetchall()
        db.execute("COMMIT")
        for number, payload in held:
            bare.run_one(number, payload)
        done = [(number,) for number, _ in held]
        if not held:
            select.select([wake], [], [])
            os.read(wake, 65_536)


if __name__ == "__main__":
    work()
