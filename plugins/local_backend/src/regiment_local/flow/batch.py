"""What one exchange leases, and what the turns that it has taken leave behind."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from regiment.contracts import Delivery
from regiment_local import spans
from regiment_local.spans import Held

TURN = """
UPDATE strands SET turn = CASE WHEN ?1 < 0 THEN turn ELSE ?1 END, room = ?2, ready = ?3 WHERE spot = ?4 AND priority = ?5"""
UNLINE = "DELETE FROM lined WHERE spot = ? AND priority = ? AND id <= ?"


class Batch:
    """What one exchange leases."""

    __slots__ = ("base", "deliveries", "full", "held", "limit", "most", "size")

    def __init__(self, held: list[Held], base: int, limit: int, max_bytes: int) -> None:
        self.held, self.base, self.limit, self.most = held, base, limit, max_bytes
        self.deliveries: list[Delivery] = []
        self.size, self.full = 0, False
        """`full`: True if the next one would make it larger than `max_bytes`."""

    @property
    def room(self) -> int:
        """How many more it takes."""
        return 0 if self.full else self.limit - len(self.deliveries)

    def add(self, id: int, payload: bytes, count: int, note: bytes | None, parked: float) -> bool:
        """True if it was taken."""
        size = self.size + len(payload)
        if size > self.most and self.deliveries:
            self.full = True
            return False
        receipt = self.base + len(self.deliveries)
        spans.add(self.held, receipt, id)
        self.deliveries.append(Delivery(receipt, payload, count, note, parked))
        self.size = size
        return True


class Turns:
    """What the turns of some lanes of one priority have left, to be written."""

    __slots__ = ("empty", "priority", "taken", "turned")

    def __init__(self, priority: int) -> None:
        self.priority = priority
        self.taken: list[tuple[int, int, int]] = []
        self.empty: list[tuple[int, int]] = []
        self.turned: list[tuple[int, int, int, int, int]] = []

    def took(self, no: int, count: int, last: int) -> None:
        """So many were taken of a strand, up to this id."""
        if count:
            self.taken.append((no, self.priority, last))

    def ended(self, no: int, count: int, own: int, rest: int, behind: Callable[[], int]) -> None:
        """A lane has had `count` of its `own`, and has a rest."""
        if not rest:
            self.empty.append((no, self.priority))
        elif count >= own:
            self.turned.append((behind(), 0, rest, no, self.priority))
        elif count:
            self.turned.append((-1, own - count, rest, no, self.priority))

    def write(self, db: sqlite3.Connection) -> None:
        """Put it down."""
        if self.taken:
            db.executemany(UNLINE, self.taken)
        if self.empty:
            db.executemany("DELETE FROM strands WHERE spot = ? AND priority = ?", self.empty)
        if self.turned:
            db.executemany(TURN, self.turned)
