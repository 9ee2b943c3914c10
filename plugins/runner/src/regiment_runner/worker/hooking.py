"""Calling a hook of the user's under its limit, which the supervisor keeps: nothing in this process has to obey for it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

from regiment import log
from regiment_runner.shared import overdue
from regiment_runner.worker.trial import Trial

Call = tuple[Callable[..., Any], tuple[Any, ...]]
Answer = tuple[Any, Any]
"""What a call has returned, and the exception that it has raised, or None."""
Steps = Generator[Call, Answer, None]
"""Calls to make, each answered with what it returned and what it raised. Nothing is thrown in: a generator takes a
`GeneratorExit` that a hook raised for its own end.
"""


def hooked(attempt: Trial, name: str, *args: Any) -> Generator[Call, Answer, BaseException | None]:
    """Call a hook that the user has; what it raised."""
    error: BaseException | None
    limit = _limit(attempt)
    if limit is None:
        _, error = yield attempt.runtime.handlers[name], args
        return error
    sheet, at = attempt.runtime.page, attempt.at
    overdue.arm(sheet, at, name, *limit)
    _, error = yield attempt.runtime.handlers[name], args
    overdue.disarm(sheet, at)
    return error


@contextlib.contextmanager
def limited(attempt: Trial, name: str) -> Iterator[None]:
    """Keep what runs here to the limit of hooks: code of a task or of a plugin that is neither work nor hook."""
    limit, sheet = _limit(attempt), attempt.runtime.page
    if limit is not None:
        overdue.arm(sheet, attempt.at, name, *limit)
    try:
        yield
    finally:
        if limit is not None:
            overdue.disarm(sheet, attempt.at)


def tell_all(attempt: Trial, observers: Sequence[Callable[..., None]], *args: Any) -> None:
    """Tell observers of plugins, all of them within the limit of one hook."""
    if observers:
        with limited(attempt, overdue.OBSERVER):
            for observer in observers:
                log.tell(observer, *args)


def _limit(attempt: Trial) -> tuple[int, int] | None:
    """The limit of hooks of this task and its grace, in nanoseconds; where nobody knows its rules, those of the queue."""
    return attempt.runtime.hook if attempt.found is None else attempt.found[1].hook
