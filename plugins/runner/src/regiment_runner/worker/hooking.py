"""Calling a hook of the user's under its limit, which the supervisor keeps: nothing in this process has to obey for it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
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
    limit = limit_of(attempt)
    if limit is None:
        _, error = yield attempt.runtime.handlers[name], args
        return error
    sheet, at = attempt.runtime.page, attempt.at
    overdue.arm(sheet, at, name, *limit)
    _, error = yield attempt.runtime.handlers[name], args
    overdue.disarm(sheet, at)
    return error


class limited:  # noqa: N801  is read as a verb; a generator would cost every result 1 µs more
    """Keep what runs here to the limit of hooks: code of a task or of a plugin that is neither work nor hook."""

    __slots__ = ("_at", "_limit", "_name", "_sheet")

    def __init__(self, attempt: Trial, name: str) -> None:
        self._limit, self._name = limit_of(attempt), name
        self._sheet, self._at = attempt.runtime.page, attempt.at

    def __enter__(self) -> None:
        if self._limit is not None:
            overdue.arm(self._sheet, self._at, self._name, *self._limit)

    def __exit__(self, *_: object) -> None:
        if self._limit is not None:
            overdue.disarm(self._sheet, self._at)


def tell_all(attempt: Trial, observers: Sequence[Callable[..., None]], *args: Any) -> None:
    """Tell observers of plugins, all of them within the limit of one hook."""
    if observers:
        with limited(attempt, overdue.OBSERVER):
            for observer in observers:
                log.tell(observer, *args)


def limit_of(attempt: Trial) -> tuple[int, int] | None:
    """The limit of hooks of this task and its grace, in nanoseconds; where nobody knows its rules, those of the queue."""
    return attempt.runtime.hook if attempt.found is None else attempt.found[1].hook
