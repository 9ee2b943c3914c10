"""Everything regiment raises: errors for callers, and the controls that end a task.

Errors derive from `RegimentError`. The controls (`Retry`, `Requeue`, `Fail`, `Stop`, `Respawn`, `Cancelled`) and
`TaskTimeout` derive from `BaseException`, so that an `except Exception` in user code lets them through.
"""

from __future__ import annotations

from regiment import exits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime, timedelta
    from typing import Any


class RegimentError(Exception):
    """Base of every error that regiment raises; the command line ends with `exit_code`."""

    exit_code = exits.BAD


class ConfigError(RegimentError):
    """The configuration is invalid; `problems` lists everything found, one sentence each."""

    exit_code = exits.CONFIG

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems: list[str] = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


class TargetError(RegimentError):
    """A target (`module` or `module:Name`) cannot be imported, is no worker, or has no task."""

    exit_code = exits.TARGET


class PluginError(RegimentError):
    """A plugin is missing, broken, blocked or refused, and something asked for what it offers."""

    exit_code = exits.PLUGIN


class StoreError(RegimentError):
    """The store refuses: wrong password, newer layout, not writable."""

    exit_code = exits.STORE


class StoreUnavailable(StoreError):
    """The store did not answer in time.

    `id` is the task's id if the call was a push; `maybe_pushed` is True if the push may have arrived all the same.
    """

    def __init__(self, message: str, *, id: str | None = None, maybe_pushed: bool = False) -> None:
        super().__init__(message)
        self.id = id
        self.maybe_pushed = maybe_pushed


class QueueFull(StoreError):
    """The store has no room for the push (memory, disk); workers can still work off what it holds."""


class PayloadTooLarge(RegimentError):
    """A task is larger than `payload_limit` or than its store can hold; nothing was sent."""


class EncodeError(RegimentError):
    """An argument cannot be serialized; the message names the path to the value."""


class DecodeError(RegimentError):
    """Bytes from a store cannot be turned back into a task; `parkable` is True if another release might do it."""

    def __init__(self, message: str, *, parkable: bool = False) -> None:
        super().__init__(message)
        self.parkable = parkable


class Forged(DecodeError):
    """A signed payload whose signature does not match; it was not deserialized."""


class ArgumentsError(RegimentError, TypeError):
    """The arguments of a push do not fit the signature of the task function."""


class LockLost(RegimentError):
    """This owner no longer holds the lock: its time ran out, or another owner has it."""


class Fenced(RegimentError):
    """The store does not know this consumer, or no longer: it was taken for dead, or closed."""


class Control(BaseException):
    """Base of the exceptions by which a task chooses how it ends.

    `kwargs` are the arguments of the next run (`Retry`, `Requeue`); without them it gets the delivered ones.
    """

    def __init__(
        self,
        *,
        delay: float | timedelta | None = None,
        at: datetime | float | None = None,
        priority: str | None = None,
        reason: object = None,
        done: bool = False,
        kwargs: dict[str, Any] | None = None,
    ) -> None:
        if kwargs is not None and not (isinstance(kwargs, dict) and all(isinstance(name, str) for name in kwargs)):
            what = f"kwargs of a {type(self).__name__} is {type(kwargs).__name__}"
            raise ArgumentsError(f"{what}; expected a dict of arguments by name")
        super().__init__(*(() if reason is None else (reason,)))
        self.delay, self.at, self.priority = delay, at, priority
        self.reason, self.done, self.kwargs = reason, done, kwargs


class Retry(Control):
    """Run this task again, as one more of its retries."""


class Requeue(Control):
    """Run this task again, without counting this run."""


class Fail(Control):
    """End this task as a dead letter at once, whatever retries are left."""


class Stop(Control):
    """End all workers of this target; the task goes back in front, or is done if `done`."""


class Respawn(Control):
    """Replace this worker process; the task goes back in front, or is done if `done`."""


class Cancelled(Control):
    """End this task as cancelled: raised inside a task that somebody has cancelled, and by a plugin that prepares one."""


class TaskTimeout(BaseException):
    """Raised inside a task whose time limit has passed."""


def nearest(word: str, known: Iterable[str]) -> str:
    """`" Did you mean "x"?"` for the known name most like `word`, else an empty string."""
    import difflib

    match = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f' Did you mean "{match[0]}"?' if match else ""
