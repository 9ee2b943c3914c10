"""How often the store is asked by what nobody waits for: so many requests a second, however much there is to know."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from regiment.contracts import Connector

FREE = frozenset({"capabilities", "extras", "describe", "close", "open", "warnings"})
"""Names of a connector that ask the store nothing."""


class Over(Exception):
    """Nobody is to ask any more."""


class Pace:
    """One request each `each` seconds, and `most` at once after a pause; none while nobody has `wanted` any."""

    def __init__(self, each: float, most: int, wanted: Callable[[], bool]) -> None:
        self._each, self._most, self._wanted = each, most, wanted
        self._left, self._at = float(most), time.monotonic()
        self._changed = threading.Condition()
        self._over = False

    @property
    def over(self) -> bool:
        """True once `stop` was called."""
        return self._over

    def take(self, waits: Callable[[], None] = lambda: None) -> None:
        """Wait until one more request may be sent; `waits` is told if that is not now. `Over` once `stop` was called."""
        with self._changed:
            while True:
                if self._over:
                    raise Over
                now = time.monotonic()
                self._left, self._at = min(self._left + (now - self._at) / self._each, self._most), now
                if self._left >= 1 and self._wanted():
                    self._left -= 1
                    return
                waits()
                self._changed.wait(self._each)

    def pause(self, seconds: float) -> None:
        """Wait for as long, or until somebody wants something. `Over` once `stop` was called."""
        with self._changed:
            if not self._over:
                self._changed.wait(seconds)
            if self._over:
                raise Over

    def hurry(self, requests: int) -> None:
        """Somebody waits for an answer: let so many requests go at once."""
        with self._changed:
            self._left = max(self._left, min(requests, self._most))
            self._changed.notify_all()

    def stop(self) -> None:
        """Have who waits, and who comes later, get `Over`."""
        with self._changed:
            self._over = True
            self._changed.notify_all()


class Paced:
    """A connector that waits for its turn before each request, and repeats none: what was asked before is answered from here."""

    def __init__(self, store: Connector, pace: Pace, waits: Callable[[], None] = lambda: None) -> None:
        self._store, self._pace, self._waits = store, pace, waits
        self._known: dict[Any, Any] = {}

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._store, name)
        if name in FREE or not callable(verb):
            return verb

        def asked(*args: Any, **more: Any) -> Any:
            key = name, repr(args), repr(more)
            if key not in self._known:
                self._pace.take(self._waits)
                self._known[key] = verb(*args, **more)
            return self._known[key]

        return asked
