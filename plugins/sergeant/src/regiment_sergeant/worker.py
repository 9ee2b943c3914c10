"""A worker with the methods, hooks and exceptions of Sergeant's.

New code uses `self.options(…).push(…)` and `self.take(…)` of `regiment.Worker`.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import warnings
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any, NoReturn

import regiment
from regiment import ConfigError, Control, Pushed, Task, TaskTimeout
from regiment import Requeue as WorkerRequeue
from regiment import Respawn as WorkerRespawn
from regiment import Retry as WorkerRetry
from regiment import Stop as WorkerStop
from regiment.log import FieldLogger, attempt_fields
from regiment.pushing import arguments
from regiment_sergeant.config import WorkerConfig

__all__ = [
    "Worker",
    "WorkerException",
    "WorkerInterrupt",
    "WorkerMaxRetries",
    "WorkerRequeue",
    "WorkerRespawn",
    "WorkerRetry",
    "WorkerStop",
    "WorkerTimedout",
]

WorkerTimedout = TaskTimeout
WorkerInterrupt = (WorkerRespawn, WorkerStop)
"""For `except` and `isinstance`, as the next one."""
WorkerException = (Control, TaskTimeout)


class WorkerMaxRetries(WorkerRetry):
    """Asks for a retry that the task has not left: it is a dead letter, and `on_max_retries` is called."""


class Logger(FieldLogger):
    """A logger that Sergeant's lines fit: `msg=` and `extra={…}` by name, and regiment's: fields as keywords."""

    def log(self, level: int, msg: str, *args: Any, extra: dict[str, Any] | None = None, **fields: Any) -> None:
        """Log `msg` at a level."""
        if self._logger.isEnabledFor(level):
            info = fields.pop("exc_info", None)
            found = {"regiment": {**attempt_fields(), **(extra or {}), **fields}}
            self._logger.log(level, msg, *args, exc_info=info, extra=found, stacklevel=2)

    debug = functools.partialmethod(log, logging.DEBUG)
    info = functools.partialmethod(log, logging.INFO)
    warning = warn = functools.partialmethod(log, logging.WARNING)
    error = functools.partialmethod(log, logging.ERROR)
    critical = functools.partialmethod(log, logging.CRITICAL)
    exception = functools.partialmethod(log, logging.ERROR, exc_info=True)

    def __getattr__(self, name: str) -> Any:
        """All else of a logger of Python: `addHandler`, `level`, `isEnabledFor`."""
        return getattr(self.__dict__["_logger"], name)


class _Given:
    """`self.config` is what `generate_config` has given; a class attribute of that name comes before it."""

    def __get__(self, worker: Worker | None, cls: type[Worker]) -> Any:
        if worker is None:
            return None
        cls.configuration()
        return cls.__dict__["_given"]


class Worker(regiment.Worker):
    """A worker with the methods, hooks and exceptions of Sergeant's. Its configuration is one of `regiment_sergeant.config`,
    or regiment's own.
    """

    config: Any = _Given()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        told = cls.__dict__.get("on_retry")
        if inspect.isfunction(told) and not inspect.iscoroutinefunction(told):
            type.__setattr__(cls, "on_retry", _unless_it_is_the_last(told))

    @classmethod
    def configuration(cls) -> regiment.WorkerConfig:
        """The configuration of this class as regiment has it, generated once per process; `ConfigError` for what cannot be had."""
        found = cls.__dict__.get("_config")
        if found is None:
            given = cls.__new__(cls).generate_config()
            found = given.meant() if isinstance(given, WorkerConfig) else given
            if not isinstance(found, regiment.WorkerConfig):
                raise ConfigError(
                    f"{cls.__name__} has no configuration but {given!r}; expected a WorkerConfig, as `config` or from "
                    "generate_config()"
                )
            type.__setattr__(cls, "_given", given)
            type.__setattr__(cls, "_config", found)
        return found

    def generate_config(self) -> Any:
        """The configuration; called once per process. By default the class attribute `config`."""
        return type(self).config

    @property
    def logger(self) -> Logger:
        """The worker's logger."""
        return Logger(f"regiment.worker.{type(self).configuration().name}")

    def stop(self, *, done: bool = True) -> NoReturn:
        """End all workers of this target. The task is over, as in Sergeant; with `done=False` it goes back to its queue."""
        super().stop(done=done)

    def respawn(self, *, done: bool = True) -> NoReturn:
        """Replace this worker process. The task is over, as in Sergeant; with `done=False` it goes back to its queue."""
        super().respawn(done=done)

    def retry(
        self,
        task: Task | None = None,
        priority: str | None = None,
        consumable_from: float | None = None,
        **how: Any,
    ) -> NoReturn:
        """Run this task again as one of its retries, with its arguments as they are now; `how` as in `regiment.Worker`."""
        again = _as_it_is(task, priority, consumable_from, how)
        if task is not None and _is_last(self, task):
            raise WorkerMaxRetries(**again)
        super().retry(task, **again)

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

    def apply_async_one(self, kwargs: dict[str, Any], **options: Any) -> Pushed:
        """The name that `push_task` had before."""
        return self.push_task(kwargs, **options)

    def apply_async_many(self, kwargs_list: Iterable[dict[str, Any]], **options: Any) -> int:
        """The name that `push_tasks` had before."""
        return self.push_tasks(kwargs_list, **options)

    def get_trace_id(self) -> str | None:
        """The trace id that pushes of the running task inherit; None outside of a task."""
        found: str | None = attempt_fields().get("trace_id")
        return found

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


def _is_last(worker: Worker, task: Task) -> bool:
    """True if this run of a task is its last one: it has no retry left."""
    most = type(worker).configuration().max_retries
    return most is not None and task.run_count >= most


def _unless_it_is_the_last(told: Callable[..., Any]) -> Callable[..., Any]:
    """`on_retry` as Sergeant calls it: not where no retry follows, of which `on_max_retries` is told."""

    @functools.wraps(told)
    def on_retry(self: Worker, task: Task) -> Any:
        return None if _is_last(self, task) else told(self, task)

    return on_retry
