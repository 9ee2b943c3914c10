"""Where the turns of pools and lanes stand, as one connector makes them. Nothing here speaks to a store."""

from __future__ import annotations

import time

KNOWN = 0.05
"""Seconds for which the pools that have something are known."""


class Pools:
    """Pools that have something, in the order of their turns."""

    def __init__(self, names: list[str], whole: bool) -> None:
        self.names, self._whole, self._read = names, whole, time.monotonic()
        self.order = names if whole else []
        """The same, also when it is not good any more."""

    @property
    def good(self) -> bool:
        """True if that is known."""
        return bool(self.names or self._whole) and time.monotonic() - self._read < KNOWN

    def expire(self) -> None:
        """Something new is there, perhaps."""
        self._read = float("-inf")

    def had(self, name: str) -> None:
        """Its turn is over."""
        if name in self.names:
            self.names.remove(name)
            if self._whole:
                self.names.append(name)


class Turns:
    """Where the turns of a queue stand, as one connector makes them."""

    def __init__(self) -> None:
        self.pool: dict[int, str] = {}
        """By priority: the pool that had the last turn."""
        self.lane: dict[tuple[int, str], str] = {}
        """By priority and pool: the lane that had the last turn."""
        self.left: dict[tuple[int, str], int] = {}
        """By priority and pool or lane: tasks of its turn that are left."""
        self.pools: dict[int, Pools] = {}
        """By priority: the pools that have something."""

    def forget(self) -> None:
        """Something new is there, perhaps."""
        for pools in self.pools.values():
            pools.expire()

    def trim(self) -> None:
        """Nothing of it is more than a turn."""
        if len(self.lane) + len(self.left) > 10_000:
            self.lane.clear()
            self.left.clear()
