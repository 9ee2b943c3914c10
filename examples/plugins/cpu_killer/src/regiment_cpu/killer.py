"""The killer "cpu": a task may wait as long as its time limits allow, but compute only for so many seconds.

Time limits work as with every killer: the worker notes them on its page, the supervisor strikes. The budget is the
kernel's: ITIMER_PROF counts the processor time of the process and sends SIGPROF when it is used up. One task at a time,
in the main thread, because only there is the time of the process that of one task.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any, ClassVar

from regiment.contracts import Place, View
from regiment.errors import TaskTimeout

SHORTEST = 0.01
"""Seconds: the kernel counts in ticks, and may send the signal one early."""


class CpuKiller:
    """`seconds` of processor time for each task that has a time limit; its soft and hard limits hold besides."""

    softens: ClassVar[frozenset[Place]] = frozenset({"main"})
    ends: ClassVar[frozenset[Place]] = frozenset({"main"})

    def __init__(self, seconds: float = 10.0) -> None:
        self.seconds = seconds
        self._page: Any = None
        self._inside = False
        self._slot, self._word, self._began = 0, (0, 0), 0.0

    @staticmethod
    def check(options: Mapping[str, Any]) -> list[str]:
        """What is wrong with these options."""
        seconds = options.get("seconds", 1)
        if isinstance(seconds, (int, float)) and not isinstance(seconds, bool) and 0.05 <= seconds < 1e6:
            return []
        return [f"seconds is {seconds!r}; expected seconds of processor time, at least 0.05"]

    # In the worker

    def install(self, page: Any, place: Place) -> None:
        """The handlers of the supervisor's soft strike and of the kernel's."""
        self._page = page
        signal.signal(page.SOFT_SIGNAL, self._struck)
        signal.signal(signal.SIGPROF, self._spent)

    @contextmanager
    def guard(self, slot: int, soft: float | None, hard: float | None) -> Iterator[None]:
        """Arm the limits and the budget. The end of the task, which the attempt notes on the page, disarms the limits."""
        self._slot, self._word, self._began = slot, self._page.slot_word(slot), time.process_time()
        self._inside = True
        try:
            self._page.arm(slot, int((soft or 0) * 1e9), int((hard or 0) * 1e9))
            signal.setitimer(signal.ITIMER_PROF, self.seconds)
            yield
        finally:
            self._inside = False
            signal.setitimer(signal.ITIMER_PROF, 0)

    def _struck(self, number: int, frame: FrameType | None) -> None:
        if self._inside and self._page.softly_struck() is not None:
            self._inside = False
            raise TaskTimeout("the task's time limit has passed")

    def _spent(self, number: int, frame: FrameType | None) -> None:
        # Handlers run between two bytecodes of the main thread, so nothing of the task runs between these looks and the
        # raise. The word changes when the work has ended, also within the guard; a signal of an earlier task comes early.
        if not self._inside or self._page.slot_word(self._slot) != self._word:
            return
        used = time.process_time() - self._began
        if used < self.seconds:
            signal.setitimer(signal.ITIMER_PROF, max(SHORTEST, self.seconds - used))
            return
        self._inside = False
        raise TaskTimeout(f"used {used:.2f} s of processor time; its budget is {self.seconds:g} s")

    # In the supervisor

    def watch(self, view: View, now: int) -> int | None:
        """Strike what is late by the clock: softly once, then for good; when to look again."""
        next_look: list[int] = []
        late: list[tuple[int, int]] = []
        for reading in view.readings():
            struck = reading.struck == reading.number
            if reading.hard and now >= reading.hard:
                late.append((reading.slot, reading.number))
                continue
            if reading.soft and now >= reading.soft and not struck:
                view.soft(reading.slot, reading.number)
                struck = True
            limits = (reading.hard,) if struck else (reading.soft, reading.hard)
            next_look += [limit for limit in limits if limit]
        still = view.condemn_all(late) if late else ()
        for slot, number in still:
            view.kill(slot, number, "killed at its hard time limit")
        return None if still else min(next_look, default=None)
