"""What is kept until its time has passed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

FEW = 64
"""So many are not worth a sweep."""


class Fleeting(Generic[T]):
    """Values by key, in the order in which they were put last. Every method is called under the store's lock."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[T, float | None]] = {}
        self._enough = FEW

    def get(self, key: str) -> T | None:
        """The value, None if it is absent or its time has passed."""
        found = self._kept.get(key)
        if found is None or _over(found[1]):
            self._kept.pop(key, None)
            return None
        return found[0]

    def put(self, key: str, value: T, ttl: float | None) -> None:
        """Keep a value for `ttl` seconds from now; None: until it is dropped."""
        self._kept.pop(key, None)  # so that it is the last one
        self._kept[key] = (value, None if ttl is None else time.monotonic() + ttl)
        if len(self._kept) > self._enough:
            self._kept = {key: kept for key, kept in self._kept.items() if not _over(kept[1])}
            self._enough = 2 * len(self._kept) + FEW

    def drop(self, key: str) -> None:
        """Forget a value; an absent one does not matter."""
        self._kept.pop(key, None)

    def newest_first(self) -> Iterator[tuple[str, T]]:
        """What is there, the one that was put last first."""
        for key, (value, until) in reversed(self._kept.items()):
            if not _over(until):
                yield key, value


def _over(until: float | None) -> bool:
    return until is not None and until <= time.monotonic()
