"""`self.request`: which run of a task this is."""

from __future__ import annotations

import os
from contextvars import ContextVar
from typing import Any

from regiment.context import attempt_now
from regiment.task import Task as Record
from regiment_celery.values import ERRORS, LINKS, unpacked

eager_now: ContextVar[Context] = ContextVar("regiment_celery_eager")
"""The request of what `apply` runs here."""

_ABSENT = {
    "chord": "a chord's callback is pushed by its group",
    "group": "the id of a group's member begins with that of its flow",
    "parent_id": "trace_id is inherited: current().task.trace_id",
    "root_id": "trace_id is inherited: current().task.trace_id",
    "reply_to": "results are kept in the store of the tasks",
    "timelimit": "current().remaining() says how many seconds are left",
}


class Context:
    """What Celery calls the request of a task: `id`, `task` (its name), `args`, `kwargs`, `retries`, `headers`, `expires`,
    `delivery_info`, `hostname`, `is_eager`, `called_directly`, `callbacks`, `errbacks`.
    """

    called_directly, is_eager = False, False
    eta = None

    def __init__(self, task: Record) -> None:
        args, self.kwargs = unpacked(task.kwargs)
        self.args: list[Any] = list(args)
        self.id = self.correlation_id = task.id
        self.task, self.retries = task.name, task.run_count
        self.headers, self.expires, self.hostname = task.headers, task.expires, os.uname().nodename
        self.callbacks, self.errbacks = task.kwargs.get(LINKS), task.kwargs.get(ERRORS)
        self.delivery_info = {"routing_key": task.queue, "exchange": "", "redelivered": task.delivery_count > 0}

    def get(self, name: str, default: Any = None) -> Any:
        """The attribute of this name, or `default`."""
        return getattr(self, name, default)

    def __getattr__(self, name: str) -> Any:
        hint = _ABSENT.get(name)
        raise AttributeError(f"self.request has no {name!r} here" + (f"; {hint}" if hint else ""))


class Outside(Context):
    """The request of a task that was simply called."""

    called_directly = True

    def __init__(self, name: str) -> None:
        super().__init__(Record("", "", name, {}, 0.0))
        self.id = self.correlation_id = None  # type: ignore[assignment]


def request_of(name: str) -> Context:
    """The request of the task of this name that runs here."""
    eager = eager_now.get(None)
    if eager is not None:
        return eager
    attempt: Any = attempt_now.get(None)
    return Outside(name) if attempt is None or attempt.task is None else Context(attempt.task)
