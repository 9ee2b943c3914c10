"""Runs captured tasks: attempts as in a worker, with a page and hooks, without a lease and a supervisor."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from regiment import log
from regiment import outcome as outcomes
from regiment.broker import Broker
from regiment.config import WorkerConfig
from regiment.contracts import Dead, Delivery, Done, Effect, Park, Settlement
from regiment.outcome import Outcome
from regiment.queue import Queue
from regiment.registry import registry
from regiment.task import Task
from regiment.worker import Worker
from regiment_cli.targets import Running
from regiment_runner.shared import page
from regiment_runner.worker.admission import EXPIRED
from regiment_runner.worker.attempt import Attempt
from regiment_runner.worker.ending import settle_unrun
from regiment_runner.worker.runtime import Runtime
from regiment_runner.worker.trial import NOTHING, Left, Trial
from regiment_testing.cutting import Cut, Cutter
from regiment_testing.heap import Entry

Face = type[Worker] | Queue


class Bench:
    """One worker of one face, in this thread: it runs attempts and takes their settlements."""

    def __init__(self, face: Face, broker: Broker) -> None:
        self.face, self.broker, self.codec = face, broker, broker.codec
        self.stopped = self._respawn = False
        self._number = 0
        self._ended: Outcome | None = None
        self._settlement: Settlement | None = None
        self._cutter: Cutter | None = None
        self.left: Sequence[Effect] = ()
        self._page = _page()
        self._begin()

    def run(self, entry: Entry, parked: float) -> tuple[Outcome, Settlement]:
        """Run one attempt; `parked` are the seconds since the task was first parked. What it leaves behind is in `left`."""
        number, attempt = self._trial(entry, parked)
        # In a context of its own: the task is over when it is over, also for `current()`.
        context = contextvars.copy_context()
        if self._awaits:
            context.run(_finish, attempt.arun)
        else:
            context.run(attempt.run)
        self._if_cut()
        settlement: Settlement = self._settlement or Done(number, number)
        outcome = self._ended or _untold(settlement)
        if isinstance(outcome.error, KeyboardInterrupt):
            raise outcome.error  # a worker makes it a failure; here a person wants to end the tests
        return outcome, settlement

    def cut_run(self, entry: Entry, parked: float, cutter: Cutter) -> tuple[Outcome, Settlement] | None:
        """As `run`, unless the run is cut: then no handler is told and nothing is settled, and the next run is another process's."""
        cutter.begin(self._dies)
        self._cutter = cutter
        try:
            return self.run(entry, parked)
        except Cut:
            self._respawn = True
            return None
        finally:
            self._cutter = None

    def _dies(self) -> None:
        """From here on this is not the worker any more: what ends is settled, and told, by nobody."""
        self._runtime.forked = True

    def _if_cut(self) -> None:
        """Go no further where the run was cut, whatever the task made of that."""
        if self._cutter is not None:
            self._cutter.check()

    def expire(self, entry: Entry) -> None:
        """Settle a task whose time has passed, by the clock of the capture."""
        _, attempt = self._trial(entry)
        attempt.task = self.codec.decode(entry.payload, entry.captured.queue)
        settle_unrun(attempt, EXPIRED)

    def _trial(self, entry: Entry, parked: float = 0.0) -> tuple[int, Attempt]:
        if self._respawn:
            self._finalize()
            self._begin()
        self._number += 1
        number, now = self._number, page.now()
        attempt = Attempt(self._runtime, self, 0)
        attempt.delivery = Delivery(number, entry.payload, parked=parked)
        attempt.number, attempt.started, attempt.identity = number, now, "capture"
        self._page.start(0, number, entry.payload, now)
        self._ended, self._settlement, self.left = None, None, ()
        attempt.made = () if self._runtime.effects else None
        return number, attempt

    def close(self) -> None:
        """The end of the worker: `finalize`."""
        self._finalize()
        self._page.close()

    # Called by an attempt, as its source

    def done(self, attempt: Trial) -> None:
        """A plain success."""

    def finish(self, attempt: Trial, settlement: Settlement, left: Left = NOTHING) -> None:
        """Any other end."""
        self._if_cut()
        self._settlement, self.left = settlement, left.effects

    def end(self, respawn: bool) -> None:
        """The task asks for the end of its process, or of all workers of its target."""
        if respawn:
            self._respawn = True
        else:
            self.stopped = True

    def came_back(self, attempt: Trial) -> bool:
        """Here a task may ask for another process as often as it likes; `drain` has a limit."""
        return False

    # The life of the worker

    def _begin(self) -> None:
        face = self.face
        app: Any = face if isinstance(face, Queue) else Running(face())
        self._app = app
        self._registry = registry().scope(self._app.config.plugins)
        executor = self._registry.resolve("executors", self._app.config.executor_use())[1]
        self._awaits, self._respawn = bool(executor.is_async), False
        self._runtime = Runtime(
            app,
            self.codec,
            self._page,
            _Clocked(self._page),
            around=self._hooks("regiment_around_attempt"),
            started=self._hooks("regiment_task_started"),
            finished=[*self._hooks("regiment_task_finished"), self._note],
            failed=self._hooks("regiment_task_failed"),
            died=self._hooks("regiment_task_dead"),
            effects=self._registry.hooks("regiment_effects"),
            prepare=self._registry.hooks("regiment_prepare"),
            works=self._registry.hooks("regiment_work"),
        )
        self._runtime.broker = self.broker
        self._call("initialize")
        self._tell("regiment_worker_started")

    def _finalize(self) -> None:
        self._tell("regiment_worker_stopping")
        try:
            self._call("finalize")
        except Exception as error:
            log.event(logging.ERROR, "hook.error", exc_info=error, hook="finalize")

    def _note(self, task: Task, outcome: Outcome, seconds: float) -> None:
        self._ended = outcome

    def _call(self, name: str) -> None:
        hook = self._app.handlers.get(name)
        if hook is None:
            return
        answer = hook()
        if inspect.iscoroutine(answer):
            _finish(lambda: answer)

    def _hooks(self, name: str) -> list[Callable[..., Any]]:
        return [call for _, call in self._registry.hooks(name)]

    def _tell(self, name: str) -> None:
        for told in self._hooks(name):
            try:
                told(self._app)
            except Exception as error:
                log.event(logging.ERROR, "plugin.error", exc_info=error, plugin=name)


class _Clocked:
    """Stands in for a killer: notes limits, so that `remaining()` answers, and never enforces them."""

    def __init__(self, sheet: page.Page) -> None:
        self._page = sheet

    @contextmanager
    def guard(self, slot: int, soft: float | None, hard: float | None) -> Iterator[None]:
        self._page.arm(slot, int((soft or 0) * 1e9), int((hard or 0) * 1e9))
        yield


def _page() -> page.Page:
    with tempfile.TemporaryDirectory() as folder:
        return page.Page(Path(folder) / "page", create=True)


def _untold(settlement: Settlement) -> Outcome:
    """The outcome of an attempt that ended before any user code was called."""
    if isinstance(settlement, Park):
        return Outcome(outcomes.UNKNOWN)
    if isinstance(settlement, Dead):
        return Outcome(outcomes.UNREADABLE, text=settlement.reason.decode())
    return Outcome(outcomes.EXPIRED)


def _finish(make: Callable[[], Any]) -> None:
    """Run a coroutine to its end, also if the test itself runs on an event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(make())
        return
    context, errors = contextvars.copy_context(), list[BaseException]()

    def run() -> None:
        try:
            context.run(asyncio.run, make())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]


def find_face(queue: str, given: Sequence[Face], pushed_with: WorkerConfig | None) -> Face | None:
    """The face that serves a queue: a given one, the one that pushed, or the only imported one with that queue.

    None if no face here does. ValueError if several might.
    """
    for face in given:
        if _config(face).name == queue:
            return face
    known: list[Face] = [*_workers(Worker), *_queues()]
    for face in known:
        if pushed_with is not None and _made(face) is pushed_with:
            return face
    named = [face for face in known if _name(face) == queue]
    if len(named) > 1:
        raise ValueError(
            f'{len(named)} workers have the queue "{queue}": {", ".join(map(repr, named))}; '
            f"name the one that is meant: capture({getattr(named[0], '__name__', 'queue')})"
        )
    return named[0] if named else None


def _workers(above: type[Worker]) -> Iterator[type[Worker]]:
    for cls in above.__subclasses__():
        if cls.work is not Worker.work:
            yield cls
        yield from _workers(cls)


def _queues() -> list[Queue]:
    """Every queue that a module holds; uses type(), because foreign proxies answer isinstance() in strange ways."""
    return list(
        dict.fromkeys(
            value
            for module in list(sys.modules.values())
            for value in list(getattr(module, "__dict__", {}).values())
            if issubclass(type(value), Queue)
        )
    )


def _made(face: Face) -> WorkerConfig | None:
    """The configuration of a face, if it was made before."""
    return face.config if isinstance(face, Queue) else face.__dict__.get("_config")


def _config(face: Face) -> WorkerConfig:
    return face.config if isinstance(face, Queue) else face.configuration()


def _name(face: Face) -> str | None:
    with suppress(Exception):  # a base class without a configuration
        return _config(face).name
    return None
