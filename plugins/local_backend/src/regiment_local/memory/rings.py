"""Turns: who comes next of those that have something and may lease (L3). A turn goes on in the next exchange."""

from __future__ import annotations

from collections import OrderedDict

from regiment_local.memory.tasks import Entry


class Ring:
    """Names that take turns, the next one first; blocked ones are not in it (L2)."""

    def __init__(self) -> None:
        self.members: OrderedDict[str, None] = OrderedDict()
        self._has: str | None = None
        """Whose turn it is, of which `_had` tasks have gone."""
        self._had = 0

    def add(self, name: str) -> bool:
        """Let it take turns, behind the others; True if it did not yet."""
        if name in self.members:
            return False
        self.members[name] = None
        return True

    def drop(self, name: str) -> None:
        """It takes no turns any more, and its turn is over; nothing if it takes none."""
        self.members.pop(name, None)
        if self._has == name:
            self._has = None

    def gone(self, name: str, turn: int) -> None:
        """A task of it has gone; after `turn` of them its turn is over."""
        self._had = self._had + 1 if self._has == name else 1
        self._has = name
        if self._had >= turn:
            self._has = None
            self.members.move_to_end(name)


class Level:
    """The lanes of one priority: their tasks, the oldest first, and the rings of pools and lanes."""

    def __init__(self) -> None:
        self.pools = Ring()
        self.lanes: dict[str, Ring] = {}
        self.lines: dict[tuple[str, str], list[Entry]] = {}

    def drop(self, pool: str, lane: str) -> None:
        """A lane takes no turns any more, nor does its pool if that was the last one."""
        ring = self.lanes[pool]
        ring.drop(lane)
        if not ring.members:
            self.pools.drop(pool)

    def forget(self, pool: str, lane: str) -> None:
        """A lane has nothing more; nothing of it is kept."""
        del self.lines[pool, lane]
        self.drop(pool, lane)
        if not self.lanes[pool].members and all(of != pool for of, _ in self.lines):
            del self.lanes[pool]
