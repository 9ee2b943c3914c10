"""What all attempts of one worker share: the application, how its messages are read, and who is told what."""

from __future__ import annotations

import inspect
import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from regiment import log
from regiment.broker import Broker
from regiment.codec import Codec
from regiment.contracts import Application
from regiment.contracts.effects import Effect
from regiment.outcome import Outcome
from regiment.task import Task
from regiment_runner.shared import logs, page
from regiment_runner.worker.parking import Brake
from regiment_runner.worker.policy import Rules
from regiment_runner.worker.preparing import Prepare, prepared
from regiment_runner.worker.taking import Desk
from regiment_runner.worker.tallying import Tally

DECODING = 60.0
"""Seconds that the decoding of one payload may take where tasks have no limit."""


class Runtime:
    """What all attempts of one worker share."""

    def __init__(self, app: Application, codec: Codec, sheet: page.Page, killer: Any, **hooks: Any) -> None:
        self.app, self.codec, self.page, self.killer = app, codec, sheet, killer
        self.config, self.handlers = app.config, app.handlers
        self.tally = Tally(sheet)
        self.works: Sequence[tuple[str, Callable[..., Any]]] = hooks.get("works", ())
        """(plugin, call) of those who know work for names that the application does not know."""
        self.prepare: Prepare = hooks.get("prepare", ())
        if self.prepare and "pre_work" in self.handlers:
            self.handlers = {**self.handlers, "pre_work": prepared(self.prepare, self.handlers["pre_work"])}
            self.prepare = ()
        self.around: Sequence[Callable[[Task], AbstractContextManager[Any]]] = hooks.get("around", ())
        self.started: Sequence[Callable[[Task], None]] = hooks.get("started", ())
        self.finished: Sequence[Callable[[Task, Outcome, float], None]] = hooks.get("finished", ())
        self.failed: Sequence[Callable[[Task, Outcome, float], None]] = hooks.get("failed", ())
        self.effects: Sequence[tuple[str, Callable[..., Iterable[Effect]]]] = hooks.get("effects", ())
        """(plugin, call) of those who have something to leave behind with every end."""
        self.broker: Broker | None = None
        """That of the worker's own queue."""
        self.committing = threading.Lock()
        self.places: dict[Broker, tuple[Any, ...]] = {}
        """Where the tasks of a broker live, as far as that was asked for (`commit`)."""
        self.ledgered: set[Broker] = set()
        """Those of which it is known that their store keeps what tasks enter (`once`)."""
        self.died: Sequence[Callable[[Any], None]] = hooks.get("died", ())
        self.call: Callable[..., Any] = hooks.get("call", _plainly)
        """Calls a hook that belongs to no task where this worker's code runs."""
        self._carry: Callable[..., Callable[[Task], Any]] | None = hooks.get("carry")
        """What an executor runs in place of a task's work."""
        self.brake = Brake()
        self.desk: Desk | None = None
        self.slots, self.elsewhere, self.forked = 1, False, False
        """`elsewhere`: attempts end in other threads than the source's driver; `forked`: this is a process that a task
        forked, and no worker any more.
        """
        self.reusable: bool = getattr(killer, "reusable", False)
        """Whether a killer's guard may be entered for one task after another of its slot."""
        self._awaits: dict[str, bool] = {}
        self._known: dict[str, tuple[Callable[[Task], Any], Rules]] = {}
        self.decode, self.queue = codec.decode, self.config.name
        rules = Rules.of(self.config)
        self.hook = rules.hook
        """The limit of hooks of a task whose rules nobody knows, and its grace, in nanoseconds."""
        self.decode_ns = int((DECODING if rules.hard is None else rules.hard) * 1e9)
        """Nanoseconds after which the worker is killed while it decodes a large payload."""
        self.levels = self.config.logging.events
        success = self.levels.get("task.success", "DEBUG")
        named = [logging.DEBUG, *([getattr(logging, success)] if success else [])]
        self.loud = any(log.logger.isEnabledFor(level) for level in named) or (bool(success) and logs.for_people)
        """Whether the log may want to hear of a start or a success."""
        has = self.handlers.keys()
        self.plain = not (self.around or self.started or self.finished or has & {"pre_work", "post_work", "on_success"})
        """Whether a success needs nothing but its settlement."""
        self.cancelled: frozenset[str] = frozenset()
        """Ids of tasks that are not to run. While there are any, nothing is `plain`."""
        self.notices: Any = None
        """Who is told of those that have ended."""
        self.ends: list[tuple[int, str]] = []
        """Numbers and ids of what has ended for good since the last exchange, where plugins are asked of each end (`Notices`)."""

    def work_for(self, task: Task) -> tuple[Callable[[Task], Any], Rules] | None:
        """What runs the task, and its rules; None for a name that the application does not know."""
        found = self._known.get(task.name)
        if found is None:
            work = self.app.work_of(task.name)
            config = None if work is None else self.app.config_of(task.name)
            if work is None or config is None:
                others = (call(self.app, task.name) for _, call in self.works)
                work, config = next((other for other in others if other is not None), (None, None))
                if work is None or config is None:
                    return None
            work = self._carry(self.app, task.name, work) if self._carry else work
            work = prepared(self.prepare, work) if self.prepare else work
            found = self._known[task.name] = work, Rules.of(config)
        return found

    def awaits(self, name: str) -> bool:
        """Whether what runs tasks of this name is a coroutine function."""
        known = self._awaits.get(name)
        if known is None:
            works = getattr(self.app, "works", {})
            known = inspect.iscoroutinefunction(works.get(name) or works.get("work"))
            self._awaits[name] = known
        return known


def _plainly(hook: Callable[..., Any], *args: Any) -> Any:
    return hook(*args)
