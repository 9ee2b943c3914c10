"""The soft strike at a task that is to be cancelled: `Cancelled` in the main thread, a cancellation on a loop.

It needs no guard of the killer's, so it reaches tasks that have no limit, and costs those nothing that nobody cancels. The signal
is the one of every soft strike; what is not to be cancelled is left to the killer, and so are threads, in which a killer may
know how to raise something.
"""

from __future__ import annotations

import _thread
import dis
import os
import signal
import time
from collections.abc import Sequence
from types import CodeType, FrameType
from typing import Any

from regiment.contracts import Place
from regiment.errors import Cancelled
from regiment_runner.shared import page
from regiment_runner.shared.page import Page
from regiment_runner.worker import guarded, sprint
from regiment_runner.worker.meant import ASKED
from regiment_runner.worker.trial import Trial

AGAIN = 0.005
"""Seconds until a strike is repeated that came between the start of a task and that of its work."""


def install(sheet: Page, killer: Any, place: Place, trials: Sequence[Trial]) -> None:
    """Put the handler before that of the killer, which is installed already; `trials` are the attempts, by slot."""
    found = signal.getsignal(page.SOFT_SIGNAL)
    others = found if callable(found) else _nothing
    if place == "threads" and place in killer.softens:
        return  # it knows by itself what to raise
    strikes = _Main(sheet, trials) if place == "main" else _Loop(sheet, trials) if place == "loop" else None

    def struck(number: int, frame: FrameType | None) -> None:
        mine = [one for one in sheet.struck() if sheet.cancelling(*one)] if sheet.words[page.CANCELS] else []
        if any(one not in mine for one in sheet.struck()):
            others(number, frame)
        if mine and strikes is not None:
            strikes(mine, frame)

    signal.signal(page.SOFT_SIGNAL, struck)


def _nothing(number: int, frame: FrameType | None) -> None:
    """The killer has no handler."""


class _Main:
    """In the main thread: between two bytecodes of the task, or not yet."""

    def __init__(self, sheet: Page, trials: Sequence[Trial]) -> None:
        self._sheet, self._trials = sheet, trials
        self._raised = 0
        self._repeats = False

    def __call__(self, mine: list[tuple[int, int]], frame: FrameType | None) -> None:
        slot, number = mine[0]
        if number <= self._raised:
            return
        if _works(self._trials[slot], number, frame):
            self._raised = number
            raise Cancelled(reason=ASKED)
        if not self._repeats:
            self._repeats = True
            _thread.start_new_thread(self._repeat, (slot, number))

    def _repeat(self, slot: int, number: int) -> None:
        time.sleep(AGAIN)
        while self._raised < number and self._sheet.slot_word(slot) == (number, page.STARTED):
            os.kill(os.getpid(), page.SOFT_SIGNAL)
            time.sleep(AGAIN)
        self._repeats = False


class _Loop:
    """On a loop: the coroutine of the attempt is cancelled, at its next round. A plain function in a thread is not."""

    def __init__(self, sheet: Page, trials: Sequence[Trial]) -> None:
        self._sheet, self._trials = sheet, trials
        self._struck = dict[int, int]()

    def __call__(self, mine: list[tuple[int, int]], frame: FrameType | None) -> None:
        import asyncio

        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # it ends
        tasks = [(task, _trial_of(task.get_coro())) for task in asyncio.all_tasks(loop)]
        for slot, number in mine:
            if self._struck.get(slot) == number:
                continue
            self._struck[slot] = number
            for task, trial in tasks:
                if trial is self._trials[slot] and trial.number == number:
                    # At the loop's next round it has begun: one that is cancelled before would never end its attempt.
                    loop.call_soon_threadsafe(self._cancel, task, slot, number)

    def _cancel(self, task: Any, slot: int, number: int) -> None:
        if self._sheet.slot_word(slot) == (number, page.STARTED) and not task.done():
            task.cancel(ASKED)


def _trial_of(coroutine: Any) -> Trial | None:
    """The attempt that a coroutine runs; None for any other coroutine."""
    frame = getattr(coroutine, "cr_frame", None)
    found = None if frame is None else frame.f_locals.get("self")
    return found if isinstance(found, Trial) else None


def _works(trial: Trial, number: int, frame: FrameType | None) -> bool:
    """True if the work of this attempt has been called and has not returned: what is raised now is caught where that is judged.

    Frames tell it, so that no task has to note it.
    """
    while frame is not None:
        line = _LINES.get(frame.f_code)
        if line is not None:
            return frame.f_lineno == line and frame.f_locals.get("attempt") is trial and trial.number == number
        frame = frame.f_back
    return False


def _line_of_the_work(code: CodeType) -> int:
    """The line of a function on which it calls the work: where it stores its `value`."""
    for step in dis.get_instructions(code):
        if step.opname.startswith("STORE_FAST") and (step.argval == "value" or "value" in step.argrepr.split(", ")):
            assert step.positions is not None and step.positions.lineno is not None
            return step.positions.lineno
    raise AssertionError(f"{code.co_qualname} stores no value")


_LINES = {function.__code__: _line_of_the_work(function.__code__) for function in (guarded.worked, sprint._run_each)}
