"""Values, locks and presence records: what a store keeps by name, apart from its queues."""

from __future__ import annotations

import time
from collections.abc import Mapping
from threading import RLock

from regiment_local.memory.bell import Bell


class Names:
    """Those of one store, under its lock."""

    def __init__(self, lock: RLock) -> None:
        self._lock = lock
        self._values: dict[str, tuple[bytes, float | None]] = {}
        self._locks: dict[str, tuple[str, float]] = {}
        self._bells: dict[str, list[Bell]] = {}
        self._presence: dict[str, tuple[bytes, float]] = {}

    def set(self, key: str, value: bytes, ttl: float | None) -> None:
        with self._lock:
            self._values[key] = (value, None if ttl is None else time.monotonic() + ttl)

    def get(self, key: str) -> bytes | None:
        with self._lock:
            value, until = self._values.get(key, (None, None))
            return value if until is None or until > time.monotonic() else None

    def delete(self, key: str) -> bool:
        with self._lock:
            there = self.get(key) is not None
            self._values.pop(key, None)
            return there

    def lock_take(self, name: str, owner: str, ttl: float) -> bool:
        with self._lock:
            held = self.lock_look(name)
            if held is not None and held[0] != owner:
                return False
            self._locks[name] = (owner, time.monotonic() + ttl)
            return True

    def lock_free(self, name: str, owner: str) -> bool:
        with self._lock:
            held = self.lock_look(name)
            if held is None or held[0] != owner:
                return False
            del self._locks[name]
            for bell in self._bells.pop(name, []):
                bell.ring()
            return True

    def lock_look(self, name: str) -> tuple[str, float] | None:
        with self._lock:
            owner, until = self._locks.get(name, ("", 0.0))
            left = until - time.monotonic()
            return (owner, left) if left > 0 else None

    def lock_call(self, name: str, bell: Bell) -> float | None:
        """Have this bell rung when the lock is freed: the seconds that it is held for, None if nobody holds it."""
        with self._lock:
            held = self.lock_look(name)
            if held is None:
                return None
            self._bells.setdefault(name, []).append(bell)
            return held[1]

    def forget(self, bell: Bell, name: str | None = None) -> None:
        """Ring this bell no more, for the lock `name` or for any."""
        with self._lock:
            for one in self._bells if name is None else [name]:
                if bell in self._bells.get(one, []):
                    self._bells[one].remove(bell)

    def announce(self, key: str, value: bytes, ttl: float) -> None:
        with self._lock:
            self._presence[key] = (value, time.monotonic() + ttl)

    def presence(self) -> Mapping[str, bytes]:
        with self._lock:
            now = time.monotonic()
            return {key: value for key, (value, until) in self._presence.items() if until > now}
