"""The queues of the Tasks framework: what runs are functions that were declared with its `@task`, found by their paths."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from inspect import iscoroutinefunction
from typing import Any

from regiment.config import Use, WorkerConfig
from regiment.pushing import Names, Pushing
from regiment.queue import TaskFunction
from regiment.task import Task
from regiment_django import framework
from regiment_django.choice import Queue


class Declared(TaskFunction[..., Any]):
    """A task of the framework in a queue of ours."""

    def __init__(self, queue: DeclaredQueue, declared: Any) -> None:
        self.declared, self.queue = declared, queue
        self.function, self.name = declared.func, declared.module_path
        Pushing.__init__(self, queue.outlet, {"name": self.name}, Names())
        self.always, self.settings, self.offered = {}, {}, {}
        self.__name__, self.__doc__, self.__wrapped__ = self.name, self.function.__doc__, self.function

    def run(self, task: Task) -> Any:
        """Run a delivered task; on an event loop a coroutine function gives its coroutine."""
        args, kwargs = task.kwargs.get("args", ()), task.kwargs.get("kwargs", {})
        now = datetime.now(UTC)
        known = {
            "status": framework.TaskResultStatus.RUNNING,
            "enqueued_at": datetime.fromtimestamp(task.date, UTC),
            "started_at": now,
            "last_attempted_at": now,
            "worker_ids": [f"{socket.gethostname()}:{os.getpid()}"] * (task.run_count + 1),
        }
        result = framework.result(self.declared, task.id, args, kwargs, self.declared.backend, **known)
        framework.task_started.send(type(self.declared.get_backend()), task_result=result)
        if self.declared.takes_context:
            args = [framework.TaskContext(task_result=result), *args]
        if iscoroutinefunction(self.function) and _on_a_loop():
            return self._awaited(result, args, kwargs)
        return self._told(result, lambda: self.declared.call(*args, **kwargs))

    async def _awaited(self, result: Any, args: Any, kwargs: Any) -> Any:
        try:
            value = await self.function(*args, **kwargs)
        except BaseException as error:
            self._ended(result, error)
            raise
        self._ended(result, None)
        return value

    def _told(self, result: Any, call: Callable[[], Any]) -> Any:
        try:
            value = call()
        except BaseException as error:
            self._ended(result, error)
            raise
        self._ended(result, None)
        return value

    def _ended(self, result: Any, error: BaseException | None) -> None:
        """Tell the framework how a run has ended."""
        status = framework.TaskResultStatus
        object.__setattr__(result, "finished_at", datetime.now(UTC))
        object.__setattr__(result, "status", status.FAILED if error is not None else status.SUCCESSFUL)
        if error is not None:
            result.errors.append(failure(error))
        framework.task_finished.send(type(self.declared.get_backend()), task_result=result)


class DeclaredQueue(Queue):
    """A queue of a backend. It runs what was declared for that backend; a name in a message imports nothing."""

    def __init__(self, name: str, declared: Mapping[str, Any], **settings: Any) -> None:
        super().__init__(name, **settings)
        self._declared = declared

    @property
    def tasks(self) -> dict[str, Any]:
        """All tasks of the backend, by path: `using(queue_name=…)` sends any of them to any of its queues."""
        return {path: self._made(path) for path in self._declared}

    @tasks.setter
    def tasks(self, value: dict[str, Any]) -> None:
        self._found: dict[str, Declared] = {}

    def _made(self, path: str) -> Declared | None:
        if path not in self._found and path in self._declared:
            self._found[path] = Declared(self, self._declared[path])
        return self._found.get(path)

    @property
    def works(self) -> dict[str, Callable[..., Any]]:
        """The functions; where nothing awaits, Django's own way to run a coroutine function."""
        awaits = self.config.executor_use().name == "asyncio"
        return {
            path: task.func if awaits or not iscoroutinefunction(task.func) else task.call
            for path, task in self._declared.items()
        }

    def work_of(self, name: str) -> Callable[[Task], Any] | None:
        found = self._made(name)
        return None if found is None else found.run

    def config_of(self, name: str) -> WorkerConfig:
        return self.config

    @property
    def keeps(self) -> bool:
        """True if results are kept."""
        return any(isinstance(one, Use) and one.name == "results" for one in self.config.plugins)


def failure(error: BaseException) -> Any:
    """An exception as the framework has it."""
    import traceback

    kind = type(error)
    text = "".join(traceback.format_exception(error))
    return framework.TaskError(exception_class_path=f"{kind.__module__}.{kind.__qualname__}", traceback=text)


def _on_a_loop() -> bool:
    if "asyncio" not in sys.modules:
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
