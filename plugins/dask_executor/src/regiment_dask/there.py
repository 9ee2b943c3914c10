"""The half that runs on Dask workers: it finds the task by the names of its module and function, and runs it there."""

from __future__ import annotations

import inspect
import pickle
import time
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from typing import Any, NoReturn

from regiment.context import attempt_now
from regiment.errors import Fail, Requeue, Respawn, Retry, Stop
from regiment.registry import registry
from regiment.task import Task
from regiment_dask.errors import DaskError
from regiment_dask.order import Order, Raised, raised, task_of

TELL_EVERY = 0.1
"""Seconds between two reports of progress."""

ONLY_AT_HOME = "{what} does not reach a Dask worker: it is part of regiment's own process. {instead}"


def run(data: bytes) -> tuple[str, Any]:
    """On a Dask worker: run a task. ("value", what it returned) or ("raised", what it raised); raises nothing of the task's."""
    from distributed import get_worker

    order = Order(*pickle.loads(data))
    here = get_worker()
    here.log_event(order.topic, {"key": order.key, "started": here.address})
    token = attempt_now.set(There(order, here))
    try:
        task = task_of(order.fields)
        return "value", _checked(_work(order)(task), order)
    except BaseException as error:
        return "raised", tuple(raised(error, here.address))
    finally:
        attempt_now.reset(token)


def _checked(value: Any, order: Order) -> Any:
    """A value that can be sent back."""
    if inspect.isgenerator(value) or inspect.isawaitable(value) or inspect.isasyncgen(value):
        raise TypeError(f"task {order.name!r} returned a {type(value).__name__}, and nothing in it has run")
    if type(value).__module__.startswith("regiment_workflows"):
        raise DaskError(
            f"task {order.name!r} returned a piece of a flow, which does not come back from a Dask worker; let a queue with "
            f"another executor return pieces"
        )
    return value


def _work(order: Order) -> Callable[[Task], Any]:
    found = _found(order.module, order.path)
    queue = getattr(found, "queue", None)
    if queue is None:
        if not order.own:
            raise DaskError(
                f"what runs {order.name!r} is found by the queue of {order.path} in {order.module}, which is no task function there; "
                f"decorate it: @queue.task"
            )
        return lambda task: found(**task.kwargs)
    work = queue.work_of(order.name)
    if work is not None:
        return work  # type: ignore[no-any-return]
    for _, call in registry().scope(queue.config.plugins).hooks("regiment_work"):
        if (other := call(queue, order.name)) is not None:
            return other[0]  # type: ignore[no-any-return]
    raise DaskError(
        f"the queue {queue.name!r} has no task {order.name!r} on this Dask worker: it runs another release of {order.module}"
    )


@lru_cache(maxsize=1024)
def _found(module: str, path: str) -> Any:
    """The task function that stands there."""
    try:
        found: Any = import_module(module)
    except ImportError as error:
        raise DaskError(
            f"this Dask worker cannot import {module}: {error}. Dask's workers need the application and its packages as "
            f"regiment's do: installed, or on PYTHONPATH"
        ) from error
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise DaskError(
                f"the module {module} has no {path} on this Dask worker: it runs another release of it"
            ) from None
    return found


class There:
    """The attempt as a task sees it on a Dask worker: `current()` returns this."""

    def __init__(self, order: Order, worker: Any) -> None:
        self._order, self._worker, self._told = order, worker, 0.0
        self.task = task_of(order.fields)
        self.evidence = dict(order.evidence)

    @property
    def commit(self) -> NoReturn:
        """Not here: the step that settles the task is made elsewhere."""
        instead = (
            'Return what is to be kept, and say it in a task or a handler of regiment\'s process (@queue.on("success"))'
        )
        raise RuntimeError(ONLY_AT_HOME.format(what="current().commit", instead=instead))

    def take(self, number: int, queue: str | None = None) -> NoReturn:
        """Not here: leases are held elsewhere."""
        raise RuntimeError(ONLY_AT_HOME.format(what="take", instead="Push one task with all that belongs together"))

    def once(self, *words: Any, **how: Any) -> NoReturn:
        """Not here: who holds the task is known where the lease is held."""
        instead = "Do the effect in a task of regiment's process, or where doing it twice is harmless"
        raise RuntimeError(ONLY_AT_HOME.format(what="current().once", instead=instead))

    @property
    def cancelled(self) -> NoReturn:
        """Not here: the notice is read where the lease is held, and Dask is told to cancel what has not begun."""
        raise RuntimeError(ONLY_AT_HOME.format(what="current().cancelled", instead="Ask remaining(), and end in time"))

    def check(self) -> NoReturn:
        """Not here, as `cancelled`."""
        raise RuntimeError(ONLY_AT_HOME.format(what="current().check()", instead="Ask remaining(), and end in time"))

    def remaining(self) -> float | None:
        """Seconds until this task's limit, by the clocks of both hosts; None if there is no limit."""
        return None if self._order.until is None else self._order.until - time.time()

    def progress(self, done: int, total: int = 0, note: str = "") -> None:
        """Tell `regiment workers` how far this task is, by way of the scheduler; ten times a second at most."""
        now = time.monotonic()
        if now - self._told >= TELL_EVERY or done == total:
            self._told = now
            self._worker.log_event(self._order.topic, {"key": self._order.key, "progress": [done, total, note[:64]]})

    def retry(self, **options: Any) -> NoReturn:
        """Run this task again as one of its retries."""
        raise Retry(**options)

    def requeue(self, **options: Any) -> NoReturn:
        """Run this task again without counting a run."""
        raise Requeue(**options)

    def fail(self, reason: object = None) -> NoReturn:
        """Make this task a dead letter at once."""
        raise Fail(reason=reason)

    def stop(self, *, done: bool = False) -> NoReturn:
        """End all of regiment's workers of this target; Dask's go on."""
        raise Stop(done=done)

    def respawn(self, *, done: bool = False) -> NoReturn:
        """Replace regiment's worker process; Dask's goes on."""
        raise Respawn(done=done)


__all__ = ["Raised", "There", "run"]
