"""What all verbs of the local connector stand on: the file, the transaction, the numbers of queues, the calls to make."""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from regiment.contracts import Capabilities, Role
from regiment.errors import ConfigError, StoreError
from regiment_local import files, wake
from regiment_local.database import Database
from regiment_local.flow import uniques
from regiment_local.laying import boot

T = TypeVar("T")

CLEANING = 15.0
"""Seconds between two cleanings of the windows by one connection."""


def queue_topic(queue: str) -> str:
    """What waiters for a queue are registered under."""
    return f"queue:{queue}"


def lock_topic(name: str) -> str:
    """What waiters for a lock are registered under."""
    return f"lock:{name}"


class Base:
    """Construction, opening and closing; every verb is one `_write` or one `_read`."""

    capabilities: ClassVar[Capabilities] = Capabilities(
        shared=True,
        durable=True,
        max_payload=500_000_000,
        extras=frozenset({"effects", "flow", "history", "ledger", "steer"}),
    )

    def __init__(
        self,
        url: str | None = None,
        *,
        path: str | None = None,
        busy_timeout: float = 5.0,
        push_durability: str = "full",
    ) -> None:
        options = {
            "url": url,
            "path": path,
            "busy_timeout": busy_timeout,
            "push_durability": push_durability,
        }
        problems = type(self).check(options)
        if problems:
            raise ConfigError(problems)
        self.path = files.full_path(url, path)
        self.busy_timeout, self.push_durability = busy_timeout, push_durability
        self._role: Role | None = None
        self._database: Database | None = None
        self._unwritten: dict[tuple[str, str], int] = {}
        """(queue, consumer) -> turns of it that were answered without being written down."""
        self._fresh()

    @classmethod
    def check(cls, options: dict[str, Any]) -> list[str]:
        """What is wrong with these options, one sentence each."""
        found = []
        durability = options.get("push_durability", "full")
        if durability not in ("full", "normal"):
            found.append(
                f'push_durability is {durability!r}; expected "full" (a push that returned survives a power cut) or '
                '"normal" (it survives the end of every process)'
            )
        url, path, busy = options.get("url"), options.get("path"), options.get("busy_timeout", 5.0)
        if url is not None and path is not None:
            found.append("url and path were both given; expected one of them")
        if url is not None:
            try:
                files.path_of(url)
            except ConfigError as error:
                found += error.problems
        problem = None if path is None else files.problem_of_path(path)
        if problem:
            found.append(problem)
        if isinstance(busy, bool) or not isinstance(busy, (int, float)) or not 0 <= busy <= 86_400:
            found.append(f"busy_timeout is {busy!r}; expected seconds, from 0 to 86400")
        return found

    @classmethod
    def located(cls, options: dict[str, Any], folder: str) -> dict[str, Any]:
        """These options with the path in full, meant from `folder`: where the program was when it was configured."""
        rest = {name: value for name, value in options.items() if name not in ("url", "path")}
        path = files.full_path(options.get("url"), options.get("path"), folder)
        return {**rest, "path": path}

    def _fresh(self) -> None:
        """As after the construction: nothing known, nobody waiting."""
        self._queues: dict[str, int] = {}
        self._lanes: dict[tuple[int, int], int] = {}
        self._calls: list[tuple[str, list[str]]] = []
        self._pipe: wake.Pipe | None = None
        self._waiting: dict[str, float | None] = {}
        self._cleaned = time.monotonic() - CLEANING * random.random()
        self._laid: set[str] = set()
        """Tables of extras that the file is known to have."""

    def open(self, role: Role) -> None:
        """Connect; see the contract. Refuses a network file system, a newer layout, and a file that is not ours."""
        self.close()
        self._database = Database(self.path, role, self.busy_timeout, self.push_durability)
        self._role = role

    def close(self) -> None:
        database, self._database, self._role = self._database, None, None
        if database is not None:
            self._drop(database)

    def _drop(self, database: Database) -> None:
        pipe = self._pipe
        if pipe is not None:
            if database.pid == os.getpid():
                pipe.close()
            else:
                os.close(pipe.fd)  # the name belongs to the parent, which goes on reading from it
        database.close()
        self._fresh()

    def describe(self) -> str:
        """The path in full, so that two files are never taken for one; below the home of this user it begins with ~."""
        home = os.path.expanduser("~").rstrip("/")
        return f"~{self.path[len(home) :]}" if home and self.path.startswith(f"{home}/") else self.path

    def warnings(self) -> list[str]:
        """What whoever set this up should know: that there is no file yet. `StoreError` if nobody could make it."""
        if os.path.exists(self.path):
            return []
        files.refuse_distance(self.path)
        near = os.path.dirname(self.path)
        if not os.path.isdir(near):
            near = os.path.dirname(near)
        if not os.access(near, os.W_OK | os.X_OK):
            raise StoreError(f"there is no file {self.path}, and {near} cannot be written")
        return [f"there is no file {self.path} yet: the first push or run makes it"]

    # for the verbs

    @property
    def _wake_folder(self) -> str:
        return self.path + "-wake"

    def _db(self) -> Database:
        database = self._database
        if database is None:
            raise StoreError(f"{self.path} is not open; call open(role) first")
        if database.pid != os.getpid():
            # A connection that crosses a fork destroys the file; the child leaves the parent's alone, and opens its own.
            self._drop(database)
            database = self._database = Database(self.path, database.role, self.busy_timeout, self.push_durability)
        return database

    def _write(self, work: Callable[..., T], *args: Any) -> T:
        """One transaction, then the calls that it asked for."""
        try:
            result = self._db().write(work, *args)
        except BaseException:
            # what was learned in a transaction that is undone may not be so
            self._forget()
            raise
        if self._calls:
            calls, self._calls = self._calls, []
            for topic, names in calls:
                wake.call(self._wake_folder, topic, names)
        return result

    def _forget(self) -> None:
        """After a transaction that was undone."""
        self._queues.clear()
        self._lanes.clear()
        self._calls.clear()
        self._laid.clear()

    def _write_durably(self, work: Callable[..., T], *args: Any) -> T:
        """A transaction that is on the disk when this returns, as a push is."""
        if self._role == "push":
            return self._write(work, *args)
        return self._db().durably(lambda: self._write(work, *args))

    def _has(self, db: sqlite3.Connection, table: str) -> bool:
        """True if the file has this table of an extra; until it has, that is looked up."""
        if table not in self._laid:
            if db.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone() is None:
                return False
            self._laid.add(table)
        return True

    def _make(self, db: sqlite3.Connection, table: str, statements: str) -> None:
        """Make the tables of an extra, of which `table` is one, in this transaction, if the file has none yet."""
        if not self._has(db, table):
            for statement in statements.split(";\n"):
                if statement.strip():
                    db.execute(statement)
            self._laid.add(table)

    def _read(self, work: Callable[[sqlite3.Connection], T], absent: T) -> T:
        return self._db().read(work, absent)

    def _queue(self, db: sqlite3.Connection, name: str) -> int:
        """The number of a queue, which is made if it is absent."""
        known = self._queues.get(name)
        if known is None:
            known = number_of(db, name)
            if known is None:
                made = db.execute("INSERT INTO queues (name, stamp) VALUES (?, ?)", (name, boot()))
                assert made.lastrowid is not None
                known = made.lastrowid
            self._queues[name] = known
        return known

    def _call(self, db: sqlite3.Connection, topic: str, due: float | None = None) -> None:
        """Call, after the commit, who waits for `topic`; with `due`, only those who know of nothing due earlier."""
        rows = db.execute("SELECT pipe, known FROM waiters WHERE topic = ?", (topic,)).fetchall()
        if rows and due is not None:
            rows = [row for row in rows if row[1] is None or row[1] > due]
        if rows:
            names = [row[0] for row in rows]
            db.executemany(
                "DELETE FROM waiters WHERE topic = ? AND pipe = ?",
                [(topic, name) for name in names],
            )
            self._calls.append((topic, names))

    def _register(self, db: sqlite3.Connection, topic: str, known: float | None = None) -> wake.Pipe:
        """Have this connector called when something happens to `topic`."""
        pipe = self._own_pipe()
        db.execute("INSERT OR REPLACE INTO waiters VALUES (?, ?, ?)", (topic, pipe.name, known))
        return pipe

    def _own_pipe(self) -> wake.Pipe:
        if self._pipe is None:
            self._pipe = wake.Pipe(self._wake_folder)
        return self._pipe

    def _clean(self, db: sqlite3.Connection, now: float) -> None:
        """Now and then, forget tokens and ids whose window has passed. (An index would cost every push a page.)"""
        if time.monotonic() - self._cleaned < CLEANING:
            return
        self._cleaned = time.monotonic()
        db.execute("DELETE FROM tokens WHERE until < ?", (now,))
        db.execute("DELETE FROM ids WHERE until < ?", (now,))
        if "spots" in self._laid:
            uniques.clean(db, now)


def number_of(db: sqlite3.Connection, name: str) -> int | None:
    """The number of a queue, None if it never was."""
    found = db.execute("SELECT no FROM queues WHERE name = ?", (name,)).fetchone()
    return None if found is None else int(found[0])
