"""The guarded region of an attempt: its work, under its limits, and the word on the page that ends it (R12)."""

from __future__ import annotations

import contextlib
import inspect
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NoReturn

from regiment import outcome as outcomes
from regiment.errors import Cancelled
from regiment.outcome import Outcome
from regiment.task import Task
from regiment_runner.shared import overdue, page
from regiment_runner.worker.asking import name_of
from regiment_runner.worker.hooking import limited
from regiment_runner.worker.meant import ASKED
from regiment_runner.worker.policy import Rules
from regiment_runner.worker.trial import UNGUARDED, Trial
from regiment_runner.worker.verdict import judge, promised_only

_GIVES_WAY = frozenset(
    {outcomes.FAILURE, outcomes.TIMEOUT, outcomes.RETRY, outcomes.REQUEUE, outcomes.INTERRUPTED, outcomes.CANCELLED}
)
DONE = Outcome(outcomes.SUCCESS)
"""A success of which nobody wants to know more."""


def worked(attempt: Trial, work: Callable[[Task], Any], rules: Rules) -> Outcome:
    """The guarded region. A strike lands inside of it or nowhere: it ends by a word on the page (R12).

    A plain success is marked done at once; whatever has more to do is marked *ended*.
    """
    words, at, number = attempt.words, attempt.at, attempt.number
    elsewhere = attempt.runtime.elsewhere and rules.limited
    ended = number << 3 | (page.DONE if attempt.runtime.plain else page.ENDED)
    if elsewhere:
        attempt.claims = [True]
    try:
        with attempt.guard if rules is attempt.guarded else _guard(attempt, rules):
            value = work(attempt.task)  # type: ignore[arg-type]
            plain = value is None and attempt.made is None
            words[at] = ended if plain else number << 3 | page.ENDED
        if words[at + page.CONDEMNED] == number:
            stand_still_if_condemned(attempt)
        if elsewhere and not attempt.claim():
            _stand_still_for_ever()
    except BaseException as error:
        if elsewhere and not attempt.claim():
            _stand_still_for_ever()
        return raised(attempt, error, rules)
    return DONE if plain else judged(attempt, value)


def raised(attempt: Trial, error: BaseException, rules: Rules) -> Outcome:
    attempt.words[attempt.at] = attempt.number << 3 | page.ENDED
    stand_still_if_condemned(attempt)
    with limited(attempt, overdue.TEXT):
        outcome = judge(error, rules)
    return cancelled(outcome) if attempt.struck else outcome


def cancelled(outcome: Outcome) -> Outcome:
    """The outcome of a run that was to be cancelled (O3): whatever else comes again, or is a failure, is cancelled. A dead
    letter that the task has asked for stays one.
    """
    if outcome.kind not in _GIVES_WAY:
        return outcome
    return Outcome(outcomes.CANCELLED, error=outcome.error, text=outcome.text, evidence=outcome.evidence)


def judged(attempt: Trial, value: Any) -> Outcome:
    """The outcome of work that returned something."""
    words, at, number = attempt.words, attempt.at, attempt.number
    words[at] = number << 3 | page.ENDED
    if value is not None and (promised := promised_only(value)) is not None:
        return promised
    if attempt.runtime.plain and attempt.made is None:
        words[at] = number << 3 | page.DONE
        return DONE
    return Outcome(outcomes.SUCCESS, value)


def _guard(attempt: Trial, rules: Rules) -> AbstractContextManager[None]:
    """The killer's guard for these limits, kept if it may be used again."""
    if not rules.limited:
        return UNGUARDED
    killer = attempt.runtime.killer
    made: AbstractContextManager[None] = killer.guard(attempt.slot, rules.soft, rules.hard)
    if attempt.runtime.reusable:
        attempt.guard, attempt.guarded = made, rules
    return made


async def aworked(attempt: Trial, work: Callable[[Task], Any], rules: Rules) -> Outcome:
    """The same on a loop: a coroutine function is awaited, a plain function runs in a thread."""
    runtime, task, words, at = attempt.runtime, attempt.task, attempt.words, attempt.at
    assert task is not None
    ended = attempt.number << 3 | (page.DONE if runtime.plain else page.ENDED)
    try:
        with _guard(attempt, rules):
            value = work(task) if runtime.awaits(task.name) else await _in_thread(work, task)
            if inspect.isawaitable(value):
                value = await value
            plain = value is None and attempt.made is None
            words[at] = ended if plain else attempt.number << 3 | page.ENDED
    except BaseException as error:
        words[at] = attempt.number << 3 | page.ENDED
        stand_still_if_condemned(attempt)
        if name_of(error) == "CancelledError":
            if attempt.struck:
                _let_go()
                return Outcome(outcomes.CANCELLED, error=Cancelled(reason=ASKED))
            if _interrupted(attempt):
                return Outcome(outcomes.INTERRUPTED, error=error)
        return raised(attempt, error, rules)
    if rules.limited:
        stand_still_if_condemned(attempt)
    if not plain:
        return judged(attempt, value)
    return DONE if runtime.plain else Outcome(outcomes.SUCCESS, value)


def _interrupted(attempt: Trial) -> bool:
    """Whether the coroutine of this attempt was cancelled from outside: at a stop, by its executor, by a neighbor."""
    import asyncio

    ordered = bool(attempt.words[page.ORDERS] & page.STOP)
    return ordered or getattr(asyncio.current_task(), "interrupted", False)


def _let_go() -> None:
    """The cancellation of this coroutine has done what it was for: handlers of the task may wait for something."""
    import asyncio

    task = asyncio.current_task()
    while task is not None and task.cancelling():
        task.uncancel()


def stand_still_if_condemned(attempt: Trial) -> None:
    """R12, R16: named by the supervisor, the worker waits for the strike, or for the name to be taken back."""
    words, at = attempt.words, attempt.at
    while words[at + page.CONDEMNED] == attempt.number:
        time.sleep(0.0005)


def _stand_still_for_ever() -> NoReturn:
    """In a thread that was written off and has come back: its task has ended without it, and its worker is leaving."""
    while True:
        time.sleep(3600)


async def _in_thread(work: Callable[[Task], Any], task: Task) -> Any:
    """Run plain work in a thread of the loop's, with this context. A cancellation does not end it: nothing can."""
    import asyncio
    import contextvars

    def caught() -> tuple[Any, BaseException | None]:
        try:
            return work(task), None
        except BaseException as error:
            return None, error

    loop = asyncio.get_running_loop()
    future = loop.run_in_executor(None, contextvars.copy_context().run, caught)
    while not future.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(future)
    value, error = future.result()
    if error is not None:
        raise error
    return value
