"""What the user pushed: the task and its id."""

from __future__ import annotations

import os
import time
from itertools import count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

PRIORITIES = {"HIGH": 0, "NORMAL": 1, "LOW": 2}
"""Priority names and the numbers that stores keep; a lower number is served first."""

OPTIONS = ("queue", "name", "priority", "delay", "at", "expires", "id", "trace_id", "headers")
"""The options of a push; extensions offer more."""
RULES = ("timeouts", "max_retries", "retry_on", "dead_on", "backoff")
"""The settings that a task may have for itself."""


_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_ids: tuple[int, str, Any] = (0, "", None)


def _digits(number: int, length: int) -> str:
    return "".join(_ALPHABET[(number >> shift) & 31] for shift in range(5 * (length - 1), -5, -5))


def new_id() -> str:
    """One new task id."""
    pid, prefix, counter = _ids
    return f"{prefix}-{next(counter):x}" if pid == os.getpid() else next(new_ids(1))


def new_ids(number: int) -> Iterator[str]:
    """New task ids, such as `01jd3k7q9zx4w8yc2m-1f`; take them in the process that asked for them.

    The start of this process in seconds and 55 random bits, in base 32, then a counter: two processes that
    start in the same second collide with a chance of 2**-55; a uuid4 would cost twenty times as much. A fork starts a
    prefix of its own, also one that Python did not notice.
    """
    global _ids
    pid, prefix, counter = _ids
    if pid != os.getpid():
        prefix = _digits(int(time.time()), 7) + _digits(int.from_bytes(os.urandom(7), "big"), 11)
        counter = count()
        _ids = (os.getpid(), prefix, counter)
    return (f"{prefix}-{next(counter):x}" for _ in range(number))


class Task:
    """One task. `kwargs` are its arguments; the other fields are regiment's record of it.

    `date` is the time of the push (seconds since the epoch), `run_count` the number of runs that failed before this
    one, `delivery_count` how often a run of this delivery ended its worker, `expires` the time (seconds since the
    epoch) after which it no longer runs. A task that is pushed from this one inherits `headers` (strings) and
    `trace_id`, but not `tags`: plain data of plugins, by the name of the plugin that alone understands them. `extra` holds
    fields that a newer release wrote; they are kept when the task is written again.
    """

    # Class attributes for fields that most tasks do not set: they cost nothing to make and nothing to read.
    run_count: int = 0
    trace_id: str | None = None
    headers: dict[str, str] | None = None
    expires: float | None = None
    tags: dict[str, Any] | None = None
    delivery_count: int = 0
    extra: tuple[Any, ...] = ()

    def __init__(self, id: str, queue: str, name: str, kwargs: dict[str, Any], date: float, **others: Any) -> None:
        self.id = id
        self.queue = queue
        self.name = name
        self.kwargs = kwargs
        self.date = date
        if others:
            for field, value in others.items():
                setattr(self, field, value)

    def __repr__(self) -> str:
        return f"<Task {self.name or self.queue} {self.id}>"
