"""A worker with the methods that Sergeant's workers call from their tasks.

New code uses `self.options(…).push(…)` and `self.take(…)` of `regiment.Worker`.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, NoReturn

import regiment
from regiment import Pushed, Task
from regiment.pushing import arguments

__all__ = ["Worker"]


class Worker(regiment.Worker):
    """A worker with the methods that Sergeant's workers call from their tasks."""

    def retry(
        self,
        task: Task | None = None,
        priority: str | None = None,
        consumable_from: float | None = None,
        **how: Any,
    ) -> NoReturn:
        """Run this task again as one of its retries, with its arguments as they are now; `how` as in `regiment.Worker`."""
        super().retry(task, **_as_it_is(task, priority, consumable_from, how))

    def requeue(
        self,
        task: Task | None = None,
        priority: str | None = None,
        consumable_from: float | None = None,
        **how: Any,
    ) -> NoReturn:
        """Run this task again without counting a run, with its arguments as they are now; `how` as in `regiment.Worker`."""
        super().requeue(task, **_as_it_is(task, priority, consumable_from, how))

    def push_task(
        self,
        kwargs: dict[str, Any],
        queue: str | None = None,
        name: str | None = None,
        priority: str | None = None,
        consumable_from: float | None = None,
        trace_id: str | None = None,
        *,
        task_name: str | None = None,
        delay: float | timedelta | None = None,
        at: datetime | float | None = None,
        expires: float | timedelta | datetime | None = None,
        id: str | None = None,
    ) -> Pushed:
        """Push one task, to this worker's queue or another of the same store."""
        options = {
            "queue": queue if queue is not None else task_name,
            "name": name,
            "priority": priority,
            "delay": delay,
            "at": at if at is not None else (consumable_from or None),
            "trace_id": trace_id,
            "expires": expires,
            "id": id,
        }
        return type(self).outlet.pushing(**options).send(arguments(kwargs))

    def push_tasks(
        self,
        kwargs_list: Iterable[dict[str, Any]],
        queue: str | None = None,
        name: str | None = None,
        priority: str | None = None,
        consumable_from: float | None = None,
        trace_id: str | None = None,
        *,
        task_name: str | None = None,
        delay: float | timedelta | None = None,
        at: datetime | float | None = None,
        expires: float | timedelta | datetime | None = None,
    ) -> int:
        """Push many tasks, 1,000 a round trip; returns how many were queued."""
        options = {
            "queue": queue if queue is not None else task_name,
            "name": name,
            "priority": priority,
            "delay": delay,
            "at": at if at is not None else (consumable_from or None),
            "trace_id": trace_id,
            "expires": expires,
        }
        return type(self).outlet.pushing(**options).push_many(kwargs_list)

    async def apush_task(self, kwargs: dict[str, Any], **options: Any) -> Pushed:
        """`push_task` without blocking the event loop."""
        return await asyncio.to_thread(self.push_task, kwargs, **options)

    def get_next_tasks(self, number_of_tasks: int, task_name: str | None = None) -> list[Task]:
        """Up to so many tasks, gone from their queue at once: if this task fails, they are lost. Use `take`."""
        warnings.warn(
            "get_next_tasks() takes tasks for good; with self.take(number, queue) as tasks: gives them back on an error",
            DeprecationWarning,
            stacklevel=2,
        )
        with self.take(number_of_tasks, task_name) as tasks:
            return tasks

    def init_broker(self) -> None:
        """Not needed any more: the broker is made at the first push."""
        warnings.warn("init_broker() is not needed any more; push at once", DeprecationWarning, stacklevel=2)

    def number_of_enqueued_tasks(self, task_name: str | None = None, include_delayed: bool = False) -> int:
        """How many tasks are ready in a queue (this worker's own by default)."""
        with self.broker.connector() as connector:
            counts = connector.counts(task_name or type(self).configuration().name)
        return counts.ready + (counts.delayed if include_delayed else 0)

    def purge_tasks(self, task_name: str | None = None) -> int:
        """Delete what is ready or delayed in a queue; returns how many."""
        with self.broker.connector() as connector:
            return connector.purge(task_name or type(self).configuration().name)


def _as_it_is(task: Task | None, priority: str | None, at: float | None, how: dict[str, Any]) -> dict[str, Any]:
    """The options of a retry: Sergeant pushed the task object again, with whatever `work` had made of its arguments."""
    kwargs = {} if task is None else {"kwargs": task.kwargs}
    return {"priority": priority, "at": at, **kwargs, **how}
