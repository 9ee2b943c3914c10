"""The killer that ends anything: a soft strike by signal in the main thread, then SIGKILL from outside.

The worker's part writes deadlines to the page, which costs no system call unless the new deadline is earlier than
the one that the supervisor sleeps for. The supervisor's part strikes by the protocol of R12 and R16.
"""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any, ClassVar

from garrison.contracts import Place, View
from garrison.errors import TaskTimeout

EVERYWHERE: frozenset[Place] = frozenset({"main", "threads", "loop"})


class Process:
    """Strikes the whole process; between soft and hard strike, the task in the main thread may clean up."""

    softens: ClassVar[frozenset[Place]] = frozenset({"main"})
    ends: ClassVar[frozenset[Place]] = EVERYWHERE

    def __init__(self) -> None:
        self._page: Any = None
        self._softens = True
        self._guards: dict[int, _Guard] = {}

    def install(self, page: Any, place: Place) -> None:
        """Install the handler of the soft strike, which has an effect in the main thread only."""
        self._page, self._softens = page, place in self.softens
        signal.signal(page.SOFT_SIGNAL, self._struck)

    def _struck(self, number: int, frame: FrameType | None) -> None:
        # Runs in the main thread between two bytecodes, so nothing of the task runs between this look and the raise.
        task = self._page.softly_struck()
        if task is not None:
            raise TaskTimeout("the task's time limit has passed")

    def guard(self, slot: int, soft: float | None, hard: float | None) -> _Guard:
        """The guard of a slot, armed when it is entered."""
        guard = self._guards.get(slot)
        if guard is None:
            guard = self._guards[slot] = _Guard(self._page, slot)
        guard.soft = 0 if soft is None or not self._softens else int(soft * 1e9)
        guard.hard = 0 if hard is None else int(hard * 1e9)
        return guard

    def watch(self, view: View, now: int) -> int | None:
        """Strike what is late: softly once, then for good."""
        wake: int | None = None
        for reading in view.readings():
            if reading.hard and now >= reading.hard:
                if view.condemn(reading.slot, reading.number):
                    view.kill(reading.slot, reading.number, "killed at its hard time limit")
                    return None
                continue
            if reading.soft and now >= reading.soft and reading.struck != reading.number:
                view.soft(reading.slot, reading.number)
            pending = (
                reading.soft
                if reading.struck != reading.number and now < reading.soft
                else reading.hard
            )
            if pending:
                wake = pending if wake is None else min(wake, pending)
        return wake


class _Guard:
    """Arms a slot's limits on the page; the phase *ended* disarms them."""

    __slots__ = ("_arm", "_slot", "hard", "soft")

    def __init__(self, page: Any, slot: int) -> None:
        self._arm, self._slot = page.arm, slot
        self.soft = self.hard = 0

    def __enter__(self) -> None:
        self._arm(self._slot, self.soft, self.hard)

    def __exit__(self, *_: object) -> None:
        pass
