"""The connection to the file: opened with its checks, one transaction per verb, closed around a fork."""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections.abc import Callable
from threading import RLock
from typing import Any, TypeVar
from weakref import WeakSet

from regiment.contracts import Role
from regiment.errors import StoreError
from regiment_local import files, laying, saying
from regiment_local.laying import LOG_LIMIT

T = TypeVar("T")

LOOK = 0.1
"""Seconds between two looks at whether the file still is the same, where not every call can afford one."""

_left_behind: list[object] = []
"""Connections of a parent process that forked behind Python's back: they are neither used nor closed here."""

_all: WeakSet[Database] = WeakSet()
"""Every one of this process, so that a fork finds none of them open."""

_fence = RLock()
"""Held from the beginning of a fork to its end, and where one is added."""


class Database:
    """One connection of one process to the file at `path`."""

    def __init__(self, path: str, role: Role, busy_timeout: float, durability: str = "full") -> None:
        self._push_level = durability.upper()
        self.path, self.role, self.busy_timeout = path, role, busy_timeout
        self.pid = os.getpid()
        self.handle: sqlite3.Connection | None = None
        self._lock = RLock()
        self._parked = False
        self._looked = 0.0
        self._file = self._log = (0, 0)
        with _fence:  # a fork waits for what is being opened, too: SQLite's own locks are held meanwhile
            self._lock.acquire()
            _all.add(self)
        try:
            self._look() if role == "look" else self._open()
        except BaseException:
            _all.discard(self)
            raise
        finally:
            self._lock.release()

    # opening

    def _open(self) -> None:
        files.refuse_folder(self.path)
        files.refuse_strangers(self.path)
        files.make_folder(self.path)
        files.refuse_network(os.path.dirname(self.path))
        files.make_file(self.path)
        files.refuse_strangers(self.path)  # again: another user may have been quicker
        try:
            self.handle = self._connect("rw")
            self._patiently(self._prepare, time.monotonic() + self.busy_timeout)
            self._file = files.identity(self.path)
            self._log = files.identity(self.path + "-wal")
        except sqlite3.Error as error:
            self.close()
            raise self._in_words(error, "open") from error
        except OSError as error:
            self.close()
            raise saying.unseen(self.path, error) from error
        except BaseException:
            self.close()
            raise

    def _look(self) -> None:
        """Open to look; an absent or empty file stays as it is, and has no queues."""
        try:
            if os.path.getsize(self.path) == 0:
                return
        except OSError:
            return
        files.refuse_strangers(self.path)
        files.refuse_network(os.path.dirname(self.path))
        # Only who may write takes the -wal and -shm files away again that SQLite makes in order to read.
        try:
            self.handle = self._connect("rw" if os.access(self.path, os.W_OK) else "ro")
            self.handle.execute("PRAGMA query_only = ON")
            if laying.version(self.handle, self.path) == 0:
                self.close()
            else:
                self._file = files.identity(self.path)
        except sqlite3.Error as error:
            self.close()
            raise self._in_words(error, "look") from error
        except StoreError:
            self.close()
            raise

    def _connect(self, mode: str) -> sqlite3.Connection:
        uri = "file:" + self.path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
        # SQLite's own wait for a lock is short: it sleeps in ever longer steps, and whoever comes later overtakes.
        # Behind it stands `_patiently`, with short random ones.
        handle = sqlite3.connect(
            f"{uri}?mode={mode}",
            uri=True,
            timeout=0.02,
            isolation_level=None,
            cached_statements=256,
            check_same_thread=False,
        )
        if self.role == "look":
            # Who looks sees every row, also one with text that is no UTF-8 and that only a stranger can have written.
            handle.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
        return handle

    def _prepare(self) -> None:
        assert self.handle is not None
        laying.prepare(self.handle, self.path, self._push_level if self.role == "push" else "NORMAL")

    # using

    def write(self, work: Callable[..., T], *args: Any) -> T:
        """`work(connection, *args)` in one transaction that holds the write lock from its start; all of it or nothing.

        Raises `StoreUnavailable` if the lock was not free in time, `StoreError` if the file is not the one any more.
        """
        if self.role == "look":
            raise StoreError(f"{self.path} was opened to look; nothing can be changed")
        with self._lock:
            return self._write(self._unparked(), work, *args)

    def _write(self, handle: sqlite3.Connection, work: Callable[..., T], *args: Any) -> T:
        now = time.monotonic()
        if self.role == "push" or now - self._looked > LOOK:
            self._check_file(now)
        committing = False
        try:
            try:
                handle.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if not saying.busy(error):
                    raise
                self._patiently(lambda: handle.execute("BEGIN IMMEDIATE"), time.monotonic() + self.busy_timeout)
            result = work(handle, *args)
            committing = True
            handle.execute("COMMIT")
        except sqlite3.IntegrityError:
            laying.roll_back(handle)
            raise
        except sqlite3.Error as error:
            laying.roll_back(handle)
            if saying.full(error):
                self._make_room(handle)
            raise self._in_words(error, work.__name__, committing) from error
        except BaseException:
            laying.roll_back(handle)
            raise
        return result

    def read(self, work: Callable[[sqlite3.Connection], T], absent: T) -> T:
        """`work(connection)` on one snapshot; `absent` if the file was not there when it was opened to look."""
        with self._lock:
            if self.handle is None and self.role == "look":
                self._look()
                if self.handle is None:
                    return absent
            return self._read(self._unparked(), work)

    def _read(self, handle: sqlite3.Connection, work: Callable[[sqlite3.Connection], T]) -> T:
        self._check_file(time.monotonic())
        try:
            self._patiently(lambda: handle.execute("BEGIN"), time.monotonic() + self.busy_timeout)
            return work(handle)
        except sqlite3.Error as error:
            raise self._in_words(error, "look") from error
        finally:
            laying.roll_back(handle)

    def durably(self, step: Callable[[], T]) -> T:
        """Take this step as a producer does: on the disk when it returns."""
        with self._lock:
            if self.role == "look":
                return step()
            handle = self._unparked()
            handle.execute(f"PRAGMA synchronous = {self._push_level}")
            try:
                return step()
            finally:
                handle.execute("PRAGMA synchronous = NORMAL")

    def rest(self) -> None:
        """Before a sleep: empty the write-ahead log if it has grown, unless somebody reads from it."""
        try:
            if os.path.getsize(self.path + "-wal") > LOG_LIMIT // 2:
                with self._lock:
                    self._unparked().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except (OSError, sqlite3.Error):
            pass  # the next one will do it

    def close(self) -> None:
        """Close, unless this connection belongs to a parent process."""
        handle, self.handle = self.handle, None
        if handle is None:
            return
        if self.pid != os.getpid():
            _left_behind.append(handle)
            return
        try:
            handle.close()
        except sqlite3.Error:
            pass

    # forks

    def park(self) -> None:
        """Before a fork: close, so that no state of SQLite gets into the child; the next verb opens again.

        A child that inherits an open connection, even one that it leaves alone, believes that it has the locks of its
        parent on this file, and then a third process removes the write-ahead log under it.
        """
        self._lock.acquire()
        handle = self.handle
        if handle is not None and self.pid == os.getpid() and not handle.in_transaction:
            self.close()
            self._parked = True

    def unpark(self) -> None:
        """After the fork, in both processes."""
        self._lock.release()

    def _unparked(self) -> sqlite3.Connection:
        if self._parked:
            self._parked = False
            self._open() if self.role != "look" else self._look()
        if self.handle is None:
            raise StoreError(f"{self.path} is closed")
        return self.handle

    # faults

    def _check_file(self, now: float) -> None:
        """Raises `StoreError` if the file was replaced or deleted: what is written to it then is written for nobody."""
        try:
            status = os.stat(self.path)
            if (status.st_dev, status.st_ino) != self._file:
                raise saying.replaced(self.path, "another file has its name")
            if now - self._looked > LOOK:
                if self.role != "look" and files.identity(self.path + "-wal") != self._log:
                    raise saying.replaced(self.path, "another -wal file stands beside it")
                self._looked = now
        except OSError as error:
            raise saying.unseen(self.path, error) from error

    def _patiently(self, work: Callable[[], object], until: float) -> None:
        """Do it again while the file is locked by another, until that time (monotonic clock)."""
        step = 0.0005
        while True:
            try:
                work()
                return
            except sqlite3.OperationalError as error:
                if not saying.busy(error) or time.monotonic() > until:
                    raise
                self._refuse_inner()
            time.sleep(step * (0.5 + random.random()))
            step = min(step * 1.5, 0.01)

    def _refuse_inner(self) -> None:
        """Raises `StoreError` where this thread itself holds the lock: in a signal handler or a `__del__` that came in the
        middle of a push. Waiting would never end, as what is interrupted goes on only after it.
        """
        for other in list(_all):
            handle = other.handle
            if other.path != self.path or handle is None or not handle.in_transaction:
                continue
            if other._lock._is_owned():  # type: ignore[attr-defined]  # of every RLock; it asks of this thread
                raise saying.inner(self.path)

    def _in_words(self, error: sqlite3.Error, verb: str, committing: bool = False) -> StoreError:
        return saying.in_words(self.path, error, verb, waited=self.busy_timeout, committing=committing)

    def _make_room(self, handle: sqlite3.Connection) -> None:
        """On a full disk, empty the write-ahead log: SQLite does it after a commit, and now none succeeds any more."""
        try:
            handle.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error:
            pass  # the database itself needs room to grow: that only people can make


_parked: list[Database] = []


def _before_fork() -> None:
    _fence.acquire()  # nothing new is opened from here to the fork
    for opened in list(_all):
        opened.park()
        _parked.append(opened)


def _after_fork() -> None:
    while _parked:
        _parked.pop().unpark()
    _fence.release()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
