"""The fields of the running task in what an application logs with structlog.

`add_task` is a processor. As a plugin of a queue, `plugins=["regiment_runner.structlog"]`, this module binds the same fields around each
attempt, for chains that have `merge_contextvars`.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

from regiment.hooks import hookimpl
from regiment.log import attempt_fields


def add_task(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add `task`, `id`, `queue`, `attempt` and `trace_id` of the task that runs here, if one does. What the event has of these names stays."""
    for name, value in _fields().items():
        event.setdefault(name, value)
    return event


@hookimpl
@contextmanager
def regiment_around_attempt() -> Iterator[None]:
    """Bind the fields of an attempt. What the application has bound before stays, under these names too; what the task binds goes with it,
    so that the next one does not have it.
    """
    from structlog.contextvars import bind_contextvars, get_contextvars, unbind_contextvars

    before = get_contextvars()
    bind_contextvars(**{name: value for name, value in _fields().items() if name not in before})
    try:
        yield
    finally:
        unbind_contextvars(*(get_contextvars().keys() - before.keys()))
        bind_contextvars(**before)


def _fields() -> dict[str, Any]:
    return {name: value for name, value in attempt_fields().items() if value is not None}
