"""A lock that all users of one store share."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Self

from regiment.contracts import Connector, Role
from regiment.errors import LockLost


class Lock:
    """A lock that all users of one store share. It has an owner (this object) and a time to live.

    `with broker.lock("name"):` holds it. The end of the block raises `LockLost` if the lock was lost meanwhile.
    """

    def __init__(self, name: str, open: Callable[[Role], Connector]) -> None:
        self.name, self.ttl = name, 60.0
        self._open, self._owner = open, os.urandom(16).hex()
        self._connector: Connector | None = None
        self._pid = 0

    def _store(self) -> Connector:
        if self._connector is None or self._pid != os.getpid():
            self._connector, self._pid = self._open("push"), os.getpid()
        return self._connector

    def acquire(self, timeout: float | None = None, check_interval: float = 1.0, ttl: float = 60.0) -> bool:
        """Wait up to `timeout` seconds (None: without end) for the lock; True if it was taken. It is free again after
        `ttl` seconds.

        `check_interval` bounds a single wait in stores that cannot wake a waiting process.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        self.ttl = ttl
        while not self._store().lock_take(self.name, self._owner, ttl):
            wait = check_interval
            if deadline is not None:
                wait = min(wait, deadline - time.monotonic())
                if wait <= 0:
                    return False
            self._store().lock_wait(self.name, wait)
        return True

    def release(self) -> bool:
        """Free the lock; False if this owner does not have it, and then nothing changes."""
        return self._store().lock_free(self.name, self._owner)

    def is_locked(self) -> bool:
        """True if any owner has it."""
        return self._store().lock_look(self.name) is not None

    @property
    def held(self) -> bool:
        """True if this owner has it now."""
        seen = self._store().lock_look(self.name)
        return seen is not None and seen[0] == self._owner

    def set_ttl(self, ttl: float) -> bool:
        """Extend to `ttl` seconds from now; False if this owner does not have it."""
        return self.held and self._store().lock_take(self.name, self._owner, ttl)

    def get_ttl(self) -> float | None:
        """Seconds until it becomes free by itself; None if it is free."""
        seen = self._store().lock_look(self.name)
        return None if seen is None else seen[1]

    def close(self) -> None:
        """Close the connection of this object; the lock in the store stays as it is."""
        if self._connector is not None and self._pid == os.getpid():
            self._connector.close()
        self._connector = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        released = self.release()
        self.close()
        if not released and kind is None:
            raise LockLost(f"the lock {self.name!r} was lost before its block ended; its ttl was {self.ttl} s")
