"""The killer for an event loop: cancels the late coroutine; if that does not stop it, the process ends.

In the worker everything happens on the loop's own thread: the signal handler only asks the loop to cancel at its next
round. The hard limit ends a loop that never comes to a next round, and a coroutine that swallows its cancellation.
"""

from __future__ import annotations

import asyncio
import signal
from types import FrameType, TracebackType
from typing import Any, ClassVar

from regiment.contracts import Place, View
from regiment.errors import TaskTimeout
from regiment_killers.ladder import climb


class Coroutine:
    """Cancels at the soft limit; at the hard limit the supervisor kills the process."""

    softens: ClassVar[frozenset[Place]] = frozenset({"loop"})
    ends: ClassVar[frozenset[Place]] = frozenset({"loop"})

    def __init__(self) -> None:
        self._page: Any = None
        self._guards: dict[int, _Guard] = {}

    def install(self, page: Any, place: Place) -> None:
        """Install the handler of the soft strike."""
        self._page = page
        signal.signal(page.SOFT_SIGNAL, self._struck)

    def _struck(self, number: int, frame: FrameType | None) -> None:
        for slot, struck in self._page.struck():
            guard = self._guards.get(slot)
            if guard is not None and guard.number == struck and guard.loop is not None:
                guard.loop.call_soon_threadsafe(guard.strike, struck)

    def guard(self, slot: int, soft: float | None, hard: float | None) -> _Guard:
        """The guard of a slot, armed when it is entered, by the coroutine that it guards."""
        guard = self._guards.get(slot)
        if guard is None:
            guard = self._guards[slot] = _Guard(self._page, slot)
        guard.soft = 0 if soft is None else int(soft * 1e9)
        guard.hard = 0 if hard is None else int(hard * 1e9)
        return guard

    def watch(self, view: View, now: int) -> int | None:
        """Strike late tasks: softly once, then by the hard limit."""
        return climb(view, now)


class _Guard:
    """The guard of one slot. A cancellation arrives where the coroutine waits, inside the guard, or not at all."""

    __slots__ = ("_page", "_slot", "_struck", "_task", "hard", "loop", "number", "soft")

    def __init__(self, page: Any, slot: int) -> None:
        self._page, self._slot = page, slot
        self.soft = self.hard = self.number = 0
        self.loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None
        self._struck = False

    def __enter__(self) -> None:
        self._task, self._struck = asyncio.current_task(), False
        self.loop = asyncio.get_running_loop()
        self.number = self._page.slot_word(self._slot)[0]
        self._page.arm(self._slot, self.soft, self.hard)

    def strike(self, number: int) -> None:
        """On the loop: cancel the coroutine once, if it still runs `number`."""
        if number == self.number and self._task is not None and not self._struck:
            self._struck = True
            self._task.cancel("the task's time limit has passed")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task, self._task, self.number = self._task, None, 0
        if not self._struck or task is None:
            return
        task.uncancel()
        if kind is not None and issubclass(kind, asyncio.CancelledError):
            raise TaskTimeout("the task's time limit has passed") from error
