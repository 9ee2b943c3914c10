"""The killer for threads: it raises an exception in the late thread. Soft limits only.

It stops a thread that runs Python, or returns from C soon. It does not stop a thread that stays in C (a blocked `recv`,
a `sleep`, a regular expression that never ends), nor one that catches `BaseException` and goes on. Such a thread is
written off `grace` seconds after its strike: its task ends as a timeout, the worker takes nothing more and is replaced
when its other threads have ended. A thread that also holds the interpreter's lock in C cannot even be written off: only
the killer `process` can end it.
"""

from __future__ import annotations

import ctypes
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from types import FrameType
from typing import Any, ClassVar

from regiment.contracts import Place, View
from regiment.errors import Cancelled, TaskTimeout

_raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
_raise_in.argtypes = (ctypes.c_ulong, ctypes.py_object)

_AGAIN = 100_000_000
"""Nanoseconds between two reminders to a worker that has not yet written its thread off."""


class _Struck(TaskTimeout):
    """The interpreter makes the exception in the thread, without arguments; so the class itself has the text."""

    def __init__(self) -> None:
        super().__init__("the task's time limit has passed")


_Struck.__name__ = _Struck.__qualname__ = TaskTimeout.__name__
_Struck.__module__ = TaskTimeout.__module__


class _Cancelled(Cancelled):
    """The same for a task that is to be cancelled."""

    def __init__(self) -> None:
        super().__init__(reason="it was cancelled")


_Cancelled.__name__ = _Cancelled.__qualname__ = Cancelled.__name__
_Cancelled.__module__ = Cancelled.__module__


class Thread:
    """Raises `TaskTimeout` in a thread; `grace` is the number of seconds in which the thread has to end."""

    softens: ClassVar[frozenset[Place]] = frozenset({"threads"})
    ends: ClassVar[frozenset[Place]] = frozenset()

    def __init__(self, grace: float = 1.0) -> None:
        self._grace = grace
        self._page: Any = None
        self._guards: dict[int, _Guard] = {}

    @staticmethod
    def check(options: Mapping[str, Any]) -> list[str]:
        """The problems of these options."""
        grace = options.get("grace", 1.0)
        if 0 < grace < 1e6:
            return []
        return [f"killer 'thread': option grace is {grace!r}; expected a positive number of seconds"]

    def install(self, page: Any, place: Place) -> None:
        """Install the handler of the soft strike; it runs in the main thread, which runs no task here."""
        self._page = page
        signal.signal(page.SOFT_SIGNAL, self._strike)

    def _strike(self, signum: int, frame: FrameType | None) -> None:
        for slot, number in self._page.struck():
            guard = self._guards.get(slot)
            entry = None if guard is None else guard.entry
            if entry is None or entry.number != number:
                continue
            if entry.thrown_at:
                if time.monotonic() - entry.thrown_at >= self._grace * 0.9:
                    self._page.write_off(slot, number, _stack_of(entry.thread))
                continue
            try:
                entry.inside.pop()
            except IndexError:
                continue  # the thread has just left
            # The thread stays inside until the exception has arrived, so it is the right one.
            _raise_in(entry.thread, _Cancelled if self._page.cancelling(slot, number) else _Struck)
            entry.thrown_at = time.monotonic()

    def guard(self, slot: int, soft: float | None, hard: float | None) -> _Guard:
        """The guard of a slot, armed when it is entered, by the thread that it guards."""
        guard = self._guards.get(slot)
        if guard is None:
            guard = self._guards[slot] = _Guard(self._page, slot)
        guard.soft = 0 if soft is None else int(soft * 1e9)
        return guard

    def watch(self, view: View, now: int) -> int | None:
        """Strike late tasks once; remind the worker of tasks that still run after `grace`."""
        wake: int | None = None
        grace = int(self._grace * 1e9)
        for reading in view.readings():
            if not reading.soft:
                continue
            due = reading.soft
            if reading.struck == reading.number:
                due += grace
            if due <= now:
                due = now + _AGAIN if reading.struck == reading.number else now + grace
                view.soft(reading.slot, reading.number)
            wake = due if wake is None else min(wake, due)
        return wake


class _Entry:
    """One passage through a guard. The side that pops `inside` decides: the thread leaves, or it is struck."""

    __slots__ = ("inside", "number", "thread", "thrown_at")

    def __init__(self, number: int) -> None:
        self.number, self.thread, self.thrown_at = number, threading.get_ident(), 0.0
        self.inside = [True]


class _Guard:
    """The guard of one slot: at most one exception arrives, and only between entering and leaving."""

    __slots__ = ("_page", "_slot", "entry", "soft")

    def __init__(self, page: Any, slot: int) -> None:
        self._page, self._slot = page, slot
        self.soft = 0
        self.entry: _Entry | None = None

    def __enter__(self) -> None:
        self.entry = _Entry(self._page.slot_word(self._slot)[0])
        self._page.arm(self._slot, self.soft, 0)

    def __exit__(self, *how: object) -> None:
        entry = self.entry
        assert entry is not None
        try:
            entry.inside.pop()
            return
        except IndexError:
            pass
        # Struck. The exception has arrived before, or it arrives right here, where it is still inside: a thread that
        # has let go of the interpreter's lock and taken it back is shown what is pending for it.
        while not entry.thrown_at:
            time.sleep(0.0001)
        for _ in range(3):
            time.sleep(0.0001)


def _stack_of(thread: int) -> str:
    """The place in the code where a thread is."""
    frame = sys._current_frames().get(thread)
    return "" if frame is None else "".join(traceback.format_stack(frame))
