"""The executor: attempts run in threads of regiment's worker, each of which waits for its task on the Dask cluster."""

from __future__ import annotations

import asyncio
import inspect
import logging
import pickle
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError
from typing import Any, ClassVar, NamedTuple

from regiment import current, log
from regiment.contracts import Application, Place, Source
from regiment.errors import Requeue, TaskTimeout
from regiment.task import Task
from regiment_dask.crew import Crew
from regiment_dask.errors import DaskError, SchedulerAway, WorkerLost
from regiment_dask.killer import LATE
from regiment_dask.link import Handed, Link
from regiment_dask.order import Order, Raised, exception_of, fields_of

MOST = 1024
"""The most slots that a worker may have."""
STARTS = 4
"""How often a task is handed over in one run, if the Dask worker that had it is lost and nobody has heard that it had started."""
LATER = 1.0
"""Seconds after which a task runs again that had no scheduler."""
LOOK = 30.0
"""Seconds after which a wait looks whether there still is a connection that could end it."""
CANCELLED = (CancelledError, asyncio.CancelledError)


class Dask:
    """Runs up to `concurrency` attempts at once, each on the cluster of the scheduler at `address`."""

    place: ClassVar[Place] = "elsewhere"
    default_killer: ClassVar[str] = "dask"
    is_async: ClassVar[bool] = False

    def __init__(self, address: str | None = None, concurrency: int = 16, connect_timeout: float = 10.0) -> None:
        self.slots = concurrency
        self._link = Link(address, connect_timeout)

    @staticmethod
    def check(options: Mapping[str, Any]) -> list[str]:
        """The problems of these options."""
        problems = []
        slots, seconds = options.get("concurrency", 1), options.get("connect_timeout", 1.0)
        if isinstance(slots, bool) or not isinstance(slots, int) or not 1 <= slots <= MOST:
            problems.append(f"concurrency is {slots!r}; expected a whole number from 1 to {MOST:,}")
        if isinstance(seconds, bool) or not 0 < seconds < 1e6:
            problems.append(f"connect_timeout is {seconds!r}; expected a positive number of seconds")
        if (address := options.get("address")) is not None and "://" not in address:
            problems.append(f"address is {address!r}; expected that of a Dask scheduler, as tcp://host:8786")
        return problems

    @staticmethod
    def refuses(app: Application) -> list[str]:
        """What cannot be promised for this application where its tasks run on a Dask cluster, in words."""
        problems = []
        if app.config.delivery == "at_most_once":
            problems.append(
                'delivery is "at_most_once", which executor "dask" cannot promise: Dask computes again what was lost with one of '
                "its workers before it was fetched"
            )
        limits = {"": app.config.timeouts, **{f"task {name!r}: ": app.config_of(name).timeouts for name in app.works}}
        if hard := [whose for whose, limit in limits.items() if limit.hard is not None]:
            problems.append(
                f"{hard[0]}a hard limit cannot be kept inside a Dask worker, whose threads nobody can end; set a soft one alone, "
                f"Timeouts(soft=…): it ends the wait, and the task can ask current().remaining()"
            )
        for hook in ("initialize", "finalize"):
            if hook in app.handlers:
                problems.append(
                    f'the hook {hook} would run in regiment\'s own process, and not where executor "dask" runs the tasks; do it when '
                    f"the module is imported, or give Dask a WorkerPlugin (client.register_plugin)"
                )
        problems += [problem for name, work in app.works.items() if (problem := _unreachable(name, work))]
        return problems

    def carry(self, app: Application, name: str, work: Callable[[Task], Any]) -> Callable[[Task], Any]:
        """What runs tasks of this name on the cluster, in place of `work`."""
        function = app.works.get(name) or next(iter(app.works.values()))
        spot = Spot(function.__module__, function.__qualname__, name, name in app.works)

        def away(task: Task) -> Any:
            return on_the_cluster(self._link, spot, task)

        return away

    def run(self, source: Source) -> None:
        """Run attempts until there are no more and all have ended, except those that the source has written off."""
        take, crew = source.take, Crew(self.slots)
        try:
            while (attempt := take()) is not None:
                crew.run(attempt.run)
        finally:
            crew.join(lambda: getattr(source, "written_off", 0))

    def close(self) -> None:
        """End the connection to the scheduler."""
        self._link.close()


class Spot(NamedTuple):
    """Where a task's code is, by names that a Dask worker can import."""

    module: str
    path: str
    task: str
    own: bool


def _unreachable(name: str, work: Any) -> str:
    """Why a Dask worker could not find this function, in words; empty if it can."""
    if inspect.ismethod(work):
        return (
            f'{type(work.__self__).__name__}: executor "dask" runs the functions of a Queue; a worker class has an instance in '
            f"regiment's process, which is not on a Dask worker"
        )
    if work.__module__ == "__main__":
        return f'task {name!r} is defined in __main__, which executor "dask" cannot import on a Dask worker; put it into a module'
    return ""


def on_the_cluster(link: Link, spot: Spot, task: Task) -> Any:
    """Run a task there and wait for it: what it returned; raises what it raised, or what became of it."""
    attempt = current()
    key = f"regiment:{task.name}-"
    fields, evidence = fields_of(task), attempt.evidence
    for _ in range(STARTS):
        limit = attempt.remaining()
        until = None if limit is None else time.time() + limit
        order = Order(key + uuid.uuid4().hex, *spot, fields, until, evidence, link.topic)
        try:
            handed = link.hand(attempt, order.key, pickle.dumps(tuple(order)))
        except SchedulerAway as error:
            raise _later(str(error)) from error
        try:
            return _answer(handed, attempt)
        except _NotStarted as error:
            lost = error.__cause__
        finally:
            link.take_back(handed)
    raise WorkerLost(
        f"{STARTS} Dask workers were lost while they had the task, each before it could say that it starts it"
    ) from lost


class _NotStarted(Exception):
    """The Dask worker that had the task was lost, and nobody has heard that it had started it."""


def _answer(handed: Handed, attempt: Any) -> Any:
    from distributed import KilledWorker

    try:
        how, told = _result(handed, attempt)
    except KilledWorker as error:
        if not handed.started:
            raise _NotStarted from error
        raise WorkerLost(
            f"the Dask worker {handed.started} was lost while it ran the task: it died, was killed, or was cut off from its scheduler"
        ) from None
    except CANCELLED as error:
        raise _later(
            f"the connection to the Dask scheduler was lost, or the task was cancelled there: {error}"
        ) from error
    except Exception as error:
        raise DaskError(
            f"Dask could not run the task, or not bring what it returned: {type(error).__name__}: {error}"
        ) from error
    if how == "value":
        return told
    raise exception_of(Raised(*told))


def _result(handed: Handed, attempt: Any) -> tuple[str, Any]:
    """What comes back; `TaskTimeout` if the task's limit passes before."""
    while True:
        left = attempt.remaining()
        if left is not None and left <= 0:
            where = (
                f"it may run on in a thread of the Dask worker {handed.started}"
                if handed.started
                else "it had not started"
            )
            raise TaskTimeout(f"{LATE}; it was cancelled on the Dask cluster, where {where}")
        try:
            answer: tuple[str, Any] = handed.future.result(timeout=LOOK if left is None else min(left, LOOK))
            return answer
        except TimeoutError:
            if handed.client.status not in ("running", "connecting"):
                raise CancelledError("the client was closed") from None


def _later(why: str) -> Requeue:
    """Again in a second, and no run of the task."""
    log.event(logging.WARNING, "dask.away", error=why, next=f"the task goes back and runs again in {LATER:g} s")
    return Requeue(delay=LATER, reason=why)
