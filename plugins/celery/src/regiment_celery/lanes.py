"""A further queue of an application: it serves and pushes the same tasks."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from regiment.config import WorkerConfig
from regiment.pushing import Outlet
from regiment.queue import Queue
from regiment.task import Task as Record


class Lane(Queue):
    """One more queue of an application."""

    def __init__(self, app: Any, queue: str) -> None:
        self.app, self.name = app, queue
        self.outlet = Outlet(lambda: self.config, f"queue {queue!r} of {app!r}")
        self._tasks: tuple[int, dict[str, Any]] = (-1, {})

    @property
    def config(self) -> WorkerConfig:  # type: ignore[override]
        """Its configuration."""
        config: WorkerConfig = self.app.config_for(self.name)
        return config

    @property
    def tasks(self) -> dict[str, Any]:  # type: ignore[override]
        """The tasks of the application, as this queue pushes them."""
        version, made = self._tasks
        if version != self.app._version:
            made = {name: self._mine(task) for name, task in self.app.tasks.items()}
            self._tasks = self.app._version, made
        return made

    def _mine(self, task: Any) -> Any:
        mine = copy.copy(task)
        mine.queue, mine._outlet, mine.offered = self, self.outlet, self.app.periodic.offered(task.name, self.name)
        return mine

    @property
    def handlers(self) -> dict[str, Any]:  # type: ignore[override]
        """Those of the application."""
        handlers: dict[str, Any] = self.app.handlers
        return handlers

    include = ()

    def load(self) -> None:
        """Import what defines tasks of the application."""
        self.app.load()

    def work_of(self, name: str) -> Callable[[Record], Any] | None:
        """What runs tasks of this name, or None."""
        work: Callable[[Record], Any] | None = self.app.work_of(name)
        return work

    def config_of(self, name: str) -> WorkerConfig:
        """The configuration with the settings of the task of this name."""
        made: WorkerConfig = self.app.config_of(name).replace(name=self.name)
        return made

    def __repr__(self) -> str:
        return f"<queue {self.name} of {self.app!r}>"
