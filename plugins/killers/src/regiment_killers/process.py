"""The killer that ends anything: a soft strike by signal in the main thread, then SIGKILL from outside.

The worker's half writes deadlines to the page; that costs a system call only if the new deadline is earlier than the
one for which the supervisor sleeps. The supervisor's half strikes by the protocol of R12 and R16.
"""

from __future__ import annotations

import signal
import time
from types import FrameType
from typing import Any, ClassVar

from regiment.contracts import Place, View
from regiment.errors import TaskTimeout
from regiment_killers.ladder import climb

_clock, _BOOT = time.clock_gettime_ns, getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

EVERYWHERE: frozenset[Place] = frozenset({"main", "threads", "loop"})


class Process:
    """Strikes the whole process; between the soft and the hard strike, the task in the main thread may clean up."""

    softens: ClassVar[frozenset[Place]] = frozenset({"main"})
    ends: ClassVar[frozenset[Place]] = EVERYWHERE
    reusable: ClassVar[bool] = True
    """A guard may be entered for one task after another of its slot."""

    def __init__(self) -> None:
        self._page: Any = None
        self._softens = True
        self._region = _Region()

    def install(self, page: Any, place: Place) -> None:
        """Install the handler of the soft strike, which works in the main thread only."""
        self._page, self._softens = page, place in self.softens
        signal.signal(page.SOFT_SIGNAL, self._struck)

    def _struck(self, number: int, frame: FrameType | None) -> None:
        # Runs in the main thread between two bytecodes, so no code of the task runs between these looks and the raise.
        # The page alone is not enough: work that raised has left its guard before the page notes its end.
        if self._region.inside and self._page.softly_struck() is not None:
            self._region.inside = False
            raise TaskTimeout("the task's time limit has passed")

    def guard(self, slot: int, soft: float | None, hard: float | None) -> _Guard:
        """The guard of a slot, armed when it is entered."""
        soft_ns = 0 if soft is None or not self._softens else int(soft * 1e9)
        hard_ns = 0 if hard is None else int(hard * 1e9)
        return _Guard(self._page, slot, soft_ns, hard_ns, self._region)

    def watch(self, view: View, now: int) -> int | None:
        """Strike late tasks: softly once, then by the hard limit."""
        return climb(view, now)


class _Region:
    """True if the main thread is inside a guard. Other threads write it too, but tasks there get no soft strike."""

    __slots__ = ("inside",)

    def __init__(self) -> None:
        self.inside = False


class _Guard:
    """Arms a slot's limits on the page; the end that the attempt notes there disarms them.

    A strike that lands in `__enter__` or `__exit__` passes through the attempt's own handler, like one that lands in
    the task. A second strike never comes.
    """

    __slots__ = ("_at", "_hard", "_page", "_region", "_soft", "_words")

    def __init__(self, page: Any, slot: int, soft: int, hard: int, region: _Region) -> None:
        self._page, self._words, self._at = page, page.words, page.limits(slot)
        self._soft, self._hard, self._region = soft, hard, region

    def __enter__(self) -> None:
        # The same as `page.arm`, without the call: every task that has a limit comes through here.
        self._region.inside = True
        words, (soft, hard, watching) = self._words, self._at
        now, first = _clock(_BOOT), 0
        if self._soft:
            words[soft] = first = now + self._soft
        if self._hard:
            words[hard] = limit = now + self._hard
            first = first or limit
        if first < words[watching]:
            self._page.wake_watcher()

    def __exit__(self, *how: object) -> None:
        self._region.inside = False
