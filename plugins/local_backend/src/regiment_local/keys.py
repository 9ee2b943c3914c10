"""What is not a task: keys and values, locks, presence. Locks and presence are timed by the boot clock."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping

from regiment_local.base import Base, lock_topic
from regiment_local.laying import boot


class Keys(Base):
    """set, get, delete, lock_*, announce, presence."""

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        self._write(self._set, key, value, ttl)

    def _set(self, db: sqlite3.Connection, key: str, value: bytes, ttl: float | None) -> None:
        now = time.time()
        db.execute("DELETE FROM keys WHERE until <= ?", (now,))
        db.execute(
            "INSERT OR REPLACE INTO keys VALUES (?, ?, ?)",
            (key, value, None if ttl is None else now + ttl),
        )

    def get(self, key: str) -> bytes | None:
        def work(db: sqlite3.Connection) -> bytes | None:
            found = db.execute("SELECT value, until FROM keys WHERE key = ?", (key,)).fetchone()
            return found[0] if found and (found[1] is None or found[1] > time.time()) else None

        return self._read(work, None)

    def delete(self, key: str) -> bool:
        return self._write(self._delete, key)

    def _delete(self, db: sqlite3.Connection, key: str) -> bool:
        gone = db.execute("DELETE FROM keys WHERE key = ? RETURNING until", (key,)).fetchall()
        return bool(gone) and (gone[0][0] is None or gone[0][0] > time.time())

    def lock_take(self, name: str, owner: str, ttl: float) -> bool:
        return self._write(self._lock_take, name, owner, ttl)

    def _lock_take(self, db: sqlite3.Connection, name: str, owner: str, ttl: float) -> bool:
        now = boot()
        found = db.execute("SELECT owner FROM locks WHERE name = ? AND until > ?", (name, now)).fetchone()
        if found is not None and found[0] != owner:
            return False
        db.execute("INSERT OR REPLACE INTO locks VALUES (?, ?, ?)", (name, owner, now + ttl))
        return True

    def lock_free(self, name: str, owner: str) -> bool:
        return self._write(self._lock_free, name, owner)

    def _lock_free(self, db: sqlite3.Connection, name: str, owner: str) -> bool:
        freed = db.execute(
            "DELETE FROM locks WHERE name = ? AND owner = ? AND until > ?", (name, owner, boot())
        ).rowcount
        if freed:
            self._call(db, lock_topic(name))
        return bool(freed)

    def lock_look(self, name: str) -> tuple[str, float] | None:
        def work(db: sqlite3.Connection) -> tuple[str, float] | None:
            now = boot()
            found = db.execute("SELECT owner, until FROM locks WHERE name = ? AND until > ?", (name, now)).fetchone()
            return None if found is None else (found[0], found[1] - now)

        return self._read(work, None)

    def lock_wait(self, name: str, seconds: float) -> None:
        left = self._write(self._lock_left, name)
        if left is not None and self._pipe is not None:
            called = self._pipe.sleep(min(left, seconds), None)
            for topic in called:
                self._waiting.pop(topic.removeprefix("queue:"), None)

    def _lock_left(self, db: sqlite3.Connection, name: str) -> float | None:
        """Seconds until the lock is free by itself, and a call if it is freed before; None if it is free."""
        now = boot()
        found = db.execute("SELECT until FROM locks WHERE name = ? AND until > ?", (name, now)).fetchone()
        if found is None:
            return None
        self._register(db, lock_topic(name))
        return float(found[0]) - now

    def announce(self, key: str, value: bytes, ttl: float) -> None:
        self._write(self._announce, key, value, ttl)

    def _announce(self, db: sqlite3.Connection, key: str, value: bytes, ttl: float) -> None:
        now = boot()
        db.execute("DELETE FROM presence WHERE until <= ?", (now,))
        db.execute("INSERT OR REPLACE INTO presence VALUES (?, ?, ?)", (key, value, now + ttl))

    def presence(self) -> Mapping[str, bytes]:
        def work(db: sqlite3.Connection) -> dict[str, bytes]:
            return dict(
                db.execute("SELECT key, value FROM presence WHERE until > ? ORDER BY key", (boot(),)).fetchall()
            )

        return self._read(work, {})
