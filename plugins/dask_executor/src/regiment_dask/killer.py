"""The killer for tasks that run on a Dask cluster: a late one is given up and cancelled there. Soft limits only.

Cancelling takes a task away that has not started. One that runs in a thread of a Dask worker cannot be stopped by anybody but
the end of that worker: it runs on, its thread is busy so long, and what it returns is thrown away.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any, ClassVar

from regiment.contracts import Place, View
from regiment.errors import TaskTimeout

LATE = "the task's time limit has passed"


class Dask:
    """Ends the wait for a late task; the wait cancels it."""

    softens: ClassVar[frozenset[Place]] = frozenset({"elsewhere"})
    ends: ClassVar[frozenset[Place]] = frozenset()

    def __init__(self) -> None:
        self._page: Any = None
        self._guards: dict[int, _Guard] = {}

    def install(self, page: Any, place: Place) -> None:
        """Install the handler of the soft strike; it runs in the main thread, which waits for no task."""
        self._page = page
        signal.signal(page.SOFT_SIGNAL, self._strike)

    def _strike(self, signum: int, frame: FrameType | None) -> None:
        for slot, number in self._page.struck():
            guard = self._guards.get(slot)
            if guard is not None and guard.number == number:
                guard.late.set()

    def guard(self, slot: int, soft: float | None, hard: float | None) -> _Guard:
        """The guard of a slot, armed when it is entered, by the thread that waits for the task."""
        guard = self._guards.get(slot)
        if guard is None:
            guard = self._guards[slot] = _Guard(self._page, slot)
        guard.soft = 0 if soft is None else int(soft * 1e9)
        return guard

    def watch(self, view: View, now: int) -> int | None:
        """Strike late tasks, once each."""
        wake: int | None = None
        for reading in view.readings():
            if not reading.soft or reading.struck == reading.number:
                continue
            if reading.soft <= now:
                view.soft(reading.slot, reading.number)
            else:
                wake = reading.soft if wake is None else min(wake, reading.soft)
        return wake


class _Guard:
    """The guard of one slot. A strike is an event that only its own thread looks at, so it lands inside or nowhere."""

    __slots__ = ("_page", "_slot", "late", "number", "soft")

    def __init__(self, page: Any, slot: int) -> None:
        self._page, self._slot = page, slot
        self.soft = self.number = 0
        self.late = threading.Event()

    def __enter__(self) -> None:
        self.late.clear()
        self.number = self._page.slot_word(self._slot)[0]
        self._page.arm(self._slot, self.soft, 0)

    def __exit__(self, kind: type[BaseException] | None, *how: object) -> None:
        self.number = 0
        if self.late.is_set() and (kind is None or not issubclass(kind, TaskTimeout)):
            raise TaskTimeout(LATE)
