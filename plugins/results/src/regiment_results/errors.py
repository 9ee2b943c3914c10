"""What a wait for a result raises: how a task failed, and why there is nothing to be had."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from regiment.errors import RegimentError


class ResultError(RegimentError):
    """Base of everything that a handle raises."""


class TaskFailed(ResultError):
    """The task did not succeed. No exception object travels: `type` is the qualified name of its exception, `bases` those of
    all its classes, `message` its text, `traceback` the remote one, which is also the cause of this error.
    """

    def __init__(
        self,
        kind: str,
        type: str,
        message: str,
        traceback: str,
        id: str,
        queue: str,
        runs: int,
        bases: Sequence[str] = (),
    ) -> None:
        what = f"{type}: {message}" if type else message or kind
        super().__init__(f"task {id} of queue {queue} {_SAID.get(kind, 'has failed')} after {_runs(runs)}: {what}")
        self.kind, self.type, self.message, self.traceback = kind, type, message, traceback
        self.id, self.queue, self.runs, self.bases = id, queue, runs, tuple(bases)
        if traceback:
            self.__cause__ = Remote(traceback)

    def is_a(self, cls: type[BaseException] | str) -> bool:
        """True if the task's exception is one of this class, or of one derived from it; classes are compared by name."""
        wanted = cls if isinstance(cls, str) else name_of(cls)
        return any(wanted == base or ("." not in wanted and base.endswith(f".{wanted}")) for base in self.bases)

    def __reduce__(self) -> Any:
        parts = (self.kind, self.type, self.message, self.traceback, self.id, self.queue, self.runs, self.bases)
        return type(self), parts


class TaskTimedOut(TaskFailed):
    """The task passed its time limit, and no retry was left."""


class TaskDead(TaskFailed):
    """The task was given up: it failed itself (`Fail`), ended its workers, or could not be read."""


class TaskExpired(TaskFailed):
    """The task's `expires` passed before it could run."""


class TaskCancelled(TaskFailed):
    """The task was cancelled, before it ran or while it did."""


class Remote(Exception):
    """The traceback of a task, from the worker that ran it."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'in the worker\n"""\n{self.text.rstrip()}\n"""'


class ResultTimeout(ResultError, TimeoutError):
    """The task had no outcome within the time that was to be waited. It goes on."""


class ResultGone(ResultError):
    """Nothing is known of the task: it was never pushed here, it was forgotten, or its time to live is over."""


class ResultTooLarge(ResultError):
    """The task succeeded, and what it returned is larger than `limit`; it was not kept."""


class ResultUnreadable(ResultError):
    """The task succeeded, and what it returned cannot be serialized, or cannot be read here."""


class ResultsOff(ResultError):
    """This queue, or this push, keeps no result, so there is nothing to wait for."""


class WouldBlock(ResultError):
    """A wait without a timeout where nothing can end it: in a task, on an event loop, in `capture()` before `drain()`."""


def name_of(cls: type[BaseException]) -> str:
    """The name of an exception class, as it travels: `ValueError`, `requests.exceptions.HTTPError`."""
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def _runs(number: int) -> str:
    return "1 run" if number == 1 else f"{number:,} runs"


_SAID = {"timeout": "has timed out", "expired": "has expired", "cancelled": "was cancelled"}
CLASSES = {
    "failure": TaskFailed,
    "retry": TaskFailed,
    "timeout": TaskTimedOut,
    "expired": TaskExpired,
    "cancelled": TaskCancelled,
}
"""Kind of an outcome -> what its result raises; all others raise `TaskDead`."""
