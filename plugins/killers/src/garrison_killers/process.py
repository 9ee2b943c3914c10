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
from garrison_killers.ladder import climb

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
        # Runs in the main thread between two bytecodes, so nothing of the task runs between these looks and the raise.
        # The page alone is not enough: work that raised is out of its guard before its end is noted.
        guard = self._guards.get(0)
        if guard is not None and guard.inside and self._page.softly_struck() is not None:
            guard.inside = False
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
        return climb(view, now)


class _Guard:
    """Arms a slot's limits on the page; the end that the attempt notes there disarms them.

    `inside` is True only between entering and leaving. A strike that lands in `__enter__` or `__exit__` passes through
    the attempt's own handler like one that lands in the task, and there is never a second one.
    """

    __slots__ = ("_arm", "_slot", "hard", "inside", "soft")

    def __init__(self, page: Any, slot: int) -> None:
        self._arm, self._slot = page.arm, slot
        self.soft = self.hard = 0
        self.inside = False

    def __enter__(self) -> None:
        self.inside = True
        self._arm(self._slot, self.soft, self.hard)

    def __exit__(self, *_: object) -> None:
        self.inside = False
