"""Pushes within the caller's own transaction: `enqueue` writes through his connection and commits nothing.

The tables of the queue lie in the file of that connection (`lay_out` makes them beside those of an application), or in one that it
has attached. Who waits for a task looks at the latest after its `recheck`; `wake_waiting`, and `transaction`, tell it at once.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from regiment.contracts import Send
from regiment.errors import ArgumentsError, StoreError
from regiment_local import files, laying, saying, schema
from regiment_local.local import LocalConnector
from regiment_local.wake import call

T = TypeVar("T")

TAKEN = frozenset(
    [
        "acts",
        "buried",
        "cancelled",
        "carrying",
        "consumers",
        "delayed",
        "entered",
        "facts",
        "followed",
        "front",
        "hand",
        "history",
        "history_sources",
        "ids",
        "joins",
        "keys",
        "lanes",
        "letters",
        "lined",
        "locks",
        "noticed",
        "orders",
        "presence",
        "queues",
        "records",
        "rings",
        "spots",
        "strands",
        "tasks",
        "thens",
        "timed",
        "tokens",
        "waiters",
        "watchers",
    ]
)
"""Names of the tables of a queue, those that only an extra makes included: an application in the same file has none of these."""

_told: dict[int, set[tuple[str, str]]] = {}
"""Path and topic of what was enqueued through a connection (its `id`: it can have no weak reference), and nobody was told of yet.
An id that comes again wakes somebody for nothing."""
_cleaned: dict[str, float] = {}
"""When this process last had a file forget tokens whose window has passed."""


class Guest(LocalConnector):
    """The verbs of the connector on a connection of another, within its transaction."""

    def __init__(self, path: str, connection: sqlite3.Connection, place: str) -> None:
        super().__init__(path=path)
        self._role = "push"
        self._connection, self._place = connection, place
        self._cleaned = _cleaned.get(path, float("-inf"))

    def _write(self, work: Callable[..., T], *args: Any) -> T:
        """A step of the caller's transaction: all of it or nothing; his own steps stay as they are."""
        with _plain(self._connection) as connection:
            result = self._step(connection, work, *args)
        _cleaned[self.path] = self._cleaned
        return result

    def _step(self, connection: sqlite3.Connection, work: Callable[..., T], *args: Any) -> T:
        try:
            if not connection.in_transaction:  # as Python's driver does before an INSERT
                connection.execute(f"BEGIN {connection.isolation_level or ''}")
            connection.execute("SAVEPOINT regiment")
            try:
                result = work(connection, *args)
            except BaseException:
                if connection.in_transaction:  # else SQLite has undone all of it
                    connection.execute("ROLLBACK TO regiment")
                    connection.execute("RELEASE regiment")
                raise
            connection.execute("RELEASE regiment")
        except sqlite3.Error as error:
            if saying.busy(error):
                error.add_note(
                    "regiment: a transaction that was begun by BEGIN IMMEDIATE meets this before it has read anything"
                )
            raise
        return result

    def _call(self, db: sqlite3.Connection, topic: str, due: float | None = None) -> None:
        # Whoever is called before the commit finds nothing; so who waits stays registered.
        _told.setdefault(id(self._connection), set()).add((self.path, topic))

    def _has(self, db: sqlite3.Connection, table: str) -> bool:
        statement = f"SELECT 1 FROM {self._place}.sqlite_master WHERE name = ?"  # noqa: S608  (quoted)
        return db.execute(statement, (table,)).fetchone() is not None

    def _make(self, db: sqlite3.Connection, table: str, statements: str) -> None:
        if not self._has(db, table):
            if self._place != '"main"':
                raise StoreError(
                    f"{self.path} lacks the tables that this push needs, and a statement of an attached file makes none; push one such "
                    "task with push(…), or open the file itself"
                )
            super()._make(db, table, statements)


def enqueue(connection: sqlite3.Connection, task: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Push one task if, and only if, the transaction of this connection is committed; the answer of `push`, with the id,
    comes at once.

    `task` is a task function, one with `.options(delay=60)`, or a worker class, whose queue lives in the file of this connection,
    or in one that is attached to it. Nothing is committed here; where no transaction is open, one begins, as by an INSERT.
    `ArgumentsError` for arguments that do not fit the task, and for a connection that cannot have the push in a transaction;
    `sqlite3.OperationalError` where SQLite fails, as in any statement of that transaction.
    """
    made: Any = task if hasattr(task, "unsent") else getattr(task, "options", dict)()
    if not hasattr(made, "unsent"):
        raise ArgumentsError(f"enqueue got {task!r:.80}; expected a task function, or one with .options(…)")
    if not isinstance(connection, sqlite3.Connection):
        raise ArgumentsError(f"enqueue got {connection!r:.80}; expected an open sqlite3.Connection")
    pushed, broker, effects = made.unsent(made.parameters.bind(args, kwargs))
    connector = broker.make()
    if not connector.capabilities.shared:  # the memory of this process, or a capture: for tests
        with broker.connector() as opened:
            existed = _put(opened, *effects)
    elif isinstance(connector, LocalConnector):
        existed = _put(Guest(connector.path, connection, _place(connection, connector.path)), *effects)
    else:
        raise ArgumentsError(
            f"the queue {pushed.queue!r} lives in {connector.describe()}, and this connection writes to SQLite; regiment_sqlalchemy "
            "has an outbox for any store"
        )
    return pushed._replace(existed=True) if existed and hasattr(pushed, "_replace") else pushed


def _put(connector: Any, send: Send, *more: Any) -> Any:
    """A push by the verb that it needs; what was left out."""
    token = os.urandom(12).hex()
    if more:
        return connector.apply(send.queue, (send, *more), token=token).left_out
    way: dict[str, Any] = {"priority": send.priority, "delay": send.delay, "at": send.at, "token": token}
    way |= {"ids": send.ids, "id_window": send.id_window}
    if send.tickets is not None:
        return [one for one in connector.admit(send.queue, send.payloads, send.tickets, **way) if one.did != "replaced"]
    return connector.push(send.queue, send.payloads, **way)


def _place(connection: sqlite3.Connection, path: str) -> str:
    """The name under which this connection has the file, quoted; `ArgumentsError` or `StoreError` in words if it is no place."""
    alone = connection.isolation_level is None or getattr(connection, "autocommit", False) is True
    if not connection.in_transaction and alone:
        raise ArgumentsError(
            "this connection commits each statement by itself (isolation_level None, or autocommit), and no transaction is open; expected a BEGIN "
            "before, or with transaction(connection): …"
        )
    with _plain(connection) as handle:
        return _found(handle, path)


def _found(handle: sqlite3.Connection, path: str) -> str:
    found: dict[str, str] = {row[1]: row[2] for row in handle.execute("PRAGMA database_list")}
    place = next((name for name, file in found.items() if file and _same(file, path)), None)
    if place is None:
        there = ", ".join(f"{name} = {file or 'memory'}" for name, file in found.items())
        raise ArgumentsError(
            f"the queue lives in {path}, and this connection has {there}; expected a connection to that file, or ATTACH"
        )
    quoted = '"' + place.replace('"', '""') + '"'
    (application,) = handle.execute(f"PRAGMA {quoted}.application_id").fetchone()
    (layout,) = handle.execute(f"PRAGMA {quoted}.user_version").fetchone()
    if application != schema.APPLICATION or not 0 < layout <= schema.FLOW_LAYOUT:
        raise StoreError(
            f"{path} has no tables of a queue that this release knows; regiment_local.lay_out({path!r}) makes them"
        )
    order = [
        *sorted(found, key=lambda name: name != "temp")
    ]  # SQLite looks for a table in temp, main, then as attached
    tables = f"SELECT name FROM {quoted}.sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"  # noqa: S608
    for other in order[: order.index(place)]:
        before = '"' + other.replace('"', '""') + '"'
        both = handle.execute(f"{tables} INTERSECT SELECT name FROM {before}.sqlite_master").fetchone()  # noqa: S608
        if both is not None:
            raise ArgumentsError(
                f'{other} has a table "{both[0]}", which hides that of the queue in {path}; rename it, or open the file itself'
            )
    return quoted


@contextmanager
def _plain(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """The connection, answering as SQLite does, and not as its owner likes it; his factories are there again afterwards."""
    factories = connection.row_factory, connection.text_factory
    connection.row_factory, connection.text_factory = None, str
    try:
        yield connection
    finally:
        connection.row_factory, connection.text_factory = factories


def _same(file: str, path: str) -> bool:
    try:
        return os.path.samefile(file, path)
    except OSError:
        return False


def wake_waiting(connection: sqlite3.Connection) -> None:
    """After the commit: tell those who wait for what was enqueued through this connection. A rollback needs none, and who is
    told for nothing looks and finds nothing. `ArgumentsError` while the transaction is open.
    """
    if connection.in_transaction and connection.isolation_level is not None:
        raise ArgumentsError(
            "wake_waiting was called in the transaction; expected after its commit, for nobody else sees its tasks before"
        )
    for path, topic in _told.pop(id(connection), ()):
        with _looking(path) as handle:
            names = [row[0] for row in handle.execute("SELECT pipe FROM waiters WHERE topic = ?", (topic,))]
        call(f"{path}-wake", topic, names)


@contextmanager
def _looking(path: str) -> Iterator[sqlite3.Connection]:
    handle = sqlite3.connect(path, timeout=1.0)
    try:
        yield handle
    finally:
        handle.close()


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """A transaction of the caller's for the length of a block, begun by BEGIN IMMEDIATE; committed at its end, or rolled back by
    an exception, and after the commit who waits is told (`wake_waiting`).
    """
    if connection.in_transaction:
        raise ArgumentsError(
            "this connection is in a transaction already; commit it, and call wake_waiting(connection) then"
        )
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
    except BaseException:
        connection.rollback()
        _told.pop(id(connection), None)
        raise
    connection.commit()
    wake_waiting(connection)


def lay_out(path: str) -> None:
    """Make the tables of a queue in an SQLite file that has, or will have, tables of an application, so that one transaction can
    have both. What is there stays. The file gets WAL as its journal, and keeps it.

    `StoreError` for a file whose application_id or user_version is in use, or that has a table with one of our names.
    """
    full = files.full_path(None, path)
    files.refuse_network(os.path.dirname(full))
    with _looking(full) as handle:
        handle.isolation_level = None
        (application,) = handle.execute("PRAGMA application_id").fetchone()
        if application != schema.APPLICATION:
            (layout,) = handle.execute("PRAGMA user_version").fetchone()
            if application or layout:
                raise StoreError(
                    f"{full} has application_id {application} and user_version {layout}, which a file with a queue needs for itself; give the "
                    "queue a file of its own and ATTACH it"
                )
            held = {row[0] for row in handle.execute("SELECT name FROM sqlite_master")} & TAKEN
            if held:
                raise StoreError(
                    f"{full} has {', '.join(sorted(held))} already, which is a name of a queue's table; give the queue a file of its own"
                )
            handle.execute(f"PRAGMA application_id = {schema.APPLICATION}")
        laying.prepare(handle, full, "FULL")
