"""One turn of one consumer while its exchange is under way."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Sequence
from typing import Protocol

from regiment_local import lanes, spans
from regiment_local.flow.leasing import Flow
from regiment_local.laying import boot
from regiment_local.spans import Held

HEAD = """
SELECT c.no, c.state, c.turn, c.base, c.held, c.lost, c.settled, c.lease, q.stamp, q.board, q.paused,
    (SELECT min(deadline) FROM consumers WHERE queue = q.no AND state < 2 AND no <> c.no),
    (SELECT min(due) FROM delayed WHERE queue = q.no)
FROM consumers c JOIN queues q ON q.no = c.queue WHERE c.queue = ? AND c.name = ?"""
"""A consumer and its queue, and what else is due there."""


class Ways(Protocol):
    """What becomes of tasks that were on lease: the module `lanes`, or the flow of a queue that counts."""

    def delete(self, db: sqlite3.Connection, held: Iterable[Held]) -> None: ...

    def give_back(self, db: sqlite3.Connection, held: Sequence[Held], more: int = 0) -> None: ...

    def delay(self, db: sqlite3.Connection, id: int, due: float, parked: float | None = None) -> None: ...

    def promote(self, db: sqlite3.Connection, queue: int, now: float, most: int) -> int: ...


PLAIN: Ways = lanes


class Turn:
    """What the consumer holds, what it is to be told, and what is to be written down before the transaction ends."""

    __slots__ = (
        "changed",
        "deadline",
        "due",
        "entered",
        "flow",
        "held",
        "lost",
        "me",
        "name",
        "now",
        "queue",
        "returned",
        "settled",
        "taken",
        "wall",
        "ways",
    )

    def __init__(
        self,
        queue: int,
        name: str,
        me: int,
        held: str,
        settled: str,
        deadline: float | None,
        due: float | None,
        flow: Flow | None = None,
        entered: int = 0,
    ) -> None:
        self.flow = flow
        self.entered = entered
        """Not 0 if a task of the queue has entries, or had."""
        self.ways: Ways = PLAIN if flow is None else flow
        self.queue, self.name, self.me = queue, name, me
        self.held: list[Held] = spans.parse(held)
        self.settled = settled
        """Spans that a keeper settled: they are not lost when the worker settles them again."""
        self.deadline, self.due = deadline, due
        """The earliest deadline of another consumer (boot clock), and the earliest due time (wall clock)."""
        self.now, self.wall = boot(), time.time()
        self.lost: list[int] = []
        self.taken: list[Held] | None = None
        """What was settled by Done, Again and Dead; None: nobody asks."""
        self.returned = self.changed = False
        """True if something may be ready that was not; if `deadline` and `due` are to be looked up again."""

    def until(self) -> float | None:
        """Seconds until the earlier of the two."""
        return until(self.deadline, self.now, self.due, self.wall)


def until(deadline: float | None, now: float, due: float | None, wall: float) -> float | None:
    """Seconds until the earlier of a deadline (boot clock) and a due time (wall clock)."""
    times = [moment - clock for moment, clock in ((deadline, now), (due, wall)) if moment is not None]
    return max(0.0, min(times)) if times else None
