"""Calling a hook of the user's under its limit, which the supervisor keeps: nothing in this process has to obey for it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

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
    limit = None if attempt.found is None else attempt.found[1].hook
    if limit is None:
        _, error = yield attempt.runtime.handlers[name], args
        return error
    sheet, at = attempt.runtime.page, attempt.at
    overdue.arm(sheet, at, name, *limit)
    _, error = yield attempt.runtime.handlers[name], args
    overdue.disarm(sheet, at)
    return error
