"""The class form: a subclass of `Worker` with `work(self, task)` and the hooks it wants."""

from __future__ import annotations

from regiment.context import attempt_now
from regiment.errors import Fail, Requeue, Respawn, Retry, Stop
from regiment.pushing import Outlet, Pushing, checked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager
    from typing import Any, NoReturn

    from regiment.broker import Broker, Pushed
    from regiment.config import WorkerConfig
    from regiment.lock import Lock
    from regiment.log import FieldLogger
    from regiment.task import Task

_ENDS = ["success", "failure", "timeout", "retry", "requeue", "max_retries", "starvation", "stop", "cancel", "dead"]
HOOKS = ("initialize", "finalize", "pre_work", "post_work", *(f"on_{end}" for end in _ENDS))
"""Every method that regiment calls, if a worker defines it."""


class _Faces(type):
    """Gives each worker class its own outlet, made when it is first asked for."""

    @property
    def outlet(cls) -> Outlet:
        found = cls.__dict__.get("_outlet")
        if found is None:
            where = f"{cls.__module__}.{cls.__qualname__}"
            found = Outlet(cls.configuration, where)  # type: ignore[attr-defined]
            type.__setattr__(cls, "_outlet", found)
        return found


class Worker(metaclass=_Faces):
    """A worker in class form. Set `config`, or override `generate_config`; define `work`.

    An instance exists in a worker process only; the classmethods `push`, `push_many`, `options` and their async
    twins are for everyone, and need no instance.
    """

    config: Any = None

    # For the user to define

    def generate_config(self) -> WorkerConfig:
        """The configuration; called once per process. By default the class attribute `config`."""
        return checked(type(self).config, type(self).__name__)

    def work(self, task: Task) -> Any:
        """Run one task; what it returns is its result, where results are kept. An exception fails this run."""
        raise NotImplementedError(f"{type(self).__name__} defines no work(self, task)")

    def initialize(self) -> Any:
        """Once per process, before the first task."""

    def finalize(self) -> Any:
        """Once per process, after the last task."""

    def pre_work(self, task: Task) -> Any:
        """Before each `work`; an exception fails the task."""

    def post_work(self, task: Task, success: bool, exception: BaseException | None) -> Any:
        """After each `work`; an exception is logged, the outcome stands."""

    def on_success(self, task: Task, returned_value: Any) -> Any:
        """After a run that returned, before its success is sent to the store."""

    def on_failure(self, task: Task, exception: BaseException) -> Any:
        """After a run that raised `exception`, before it is known to the store whether the task is retried."""

    def on_timeout(self, task: Task) -> Any:
        """After a run that its time limit has ended."""

    def on_retry(self, task: Task) -> Any:
        """After a run that asked for a retry (`Retry`)."""

    def on_requeue(self, task: Task) -> Any:
        """After a run that asked to run again without being counted (`Requeue`)."""

    def on_max_retries(self, task: Task) -> Any:
        """After the handler of a run that has used up the last retry."""

    def on_starvation(self, time_with_no_tasks: float) -> Any:
        """When this worker had no task for so many seconds (`WorkerConfig.starvation`)."""

    def on_stop(self, task: Task) -> Any:
        """After a run that asked to end the workers of its target (`Stop`)."""

    def on_cancel(self, task: Task) -> Any:
        """After a task was cancelled, before or while it ran."""

    def on_dead(self, task: Task, reason: dict[str, Any]) -> Any:
        """When the task becomes a dead letter; `reason` has kind, error, traceback and how often it ran."""

    # From anywhere

    @classmethod
    def configuration(cls) -> WorkerConfig:
        """The configuration of this class, generated once per process."""
        found = cls.__dict__.get("_config")
        if found is None:
            found = checked(cls.__new__(cls).generate_config(), cls.__name__)
            type.__setattr__(cls, "_config", found)
        return found

    @classmethod
    def options(cls, **options: Any) -> Pushing[...]:
        """How to push: `delay`, `at`, `priority`, `expires`, `id`, `trace_id`, `headers`, `queue`, `name`, and what plugins
        offer. `ArgumentsError` for an option that does not exist or a value that it does not take.
        """
        return cls.outlet.pushing(**options)

    @classmethod
    def push(cls, /, **kwargs: Any) -> Pushed:
        """Push one task with these arguments, which must have names; returns and raises as `Pushing.push`."""
        return cls.outlet.pushing().send(kwargs)

    @classmethod
    def push_many(cls, many: Iterable[dict[str, Any]]) -> int:
        """Push one task for each mapping of arguments, 1,000 a round trip; returns how many were queued."""
        return cls.outlet.pushing().push_many(many)

    @classmethod
    async def apush(cls, /, **kwargs: Any) -> Pushed:
        """`push` without blocking the event loop."""
        return await cls.outlet.pushing().apush(**kwargs)

    @classmethod
    async def apush_many(cls, many: Iterable[dict[str, Any]]) -> int:
        """`push_many` without blocking the event loop."""
        return await cls.outlet.pushing().apush_many(many)

    @classmethod
    def kept(cls, key: str) -> Any:
        """What a task of this queue has kept by `current().commit.keep(key, value, ttl)`; None if it is not there (any more)."""
        return cls.outlet.broker().kept(cls.configuration().name, key)

    # From a task

    def retry(self, task: Task | None = None, **how: Any) -> NoReturn:
        """Run this task again as one of its retries, with the arguments that were pushed or else `kwargs`; raises `Retry`,
        which takes `delay`, `at`, `priority` and `kwargs`.
        """
        raise Retry(**how)

    def requeue(self, task: Task | None = None, **how: Any) -> NoReturn:
        """Run this task again without counting a run, with the arguments that were pushed or else `kwargs`; raises
        `Requeue`, which takes the same.
        """
        raise Requeue(**how)

    def fail(self, task: Task | None = None, reason: object = None) -> NoReturn:
        """Make this task a dead letter at once; raises `Fail`."""
        raise Fail(reason=reason)

    def stop(self, *, done: bool = False) -> NoReturn:
        """End all workers of this target; the task goes back, or is finished if `done`. Raises `Stop`."""
        raise Stop(done=done)

    def respawn(self, *, done: bool = False) -> NoReturn:
        """Replace this worker process; the task goes back, or is finished if `done`. Raises `Respawn`."""
        raise Respawn(done=done)

    def remaining(self) -> float | None:
        """Seconds until the running task's limit; None without one, or outside of a task."""
        attempt = attempt_now.get(None)
        return None if attempt is None else attempt.remaining()

    def progress(self, done: int, total: int = 0, note: str = "") -> None:
        """Tell `regiment workers` how far the running task is."""
        attempt = attempt_now.get(None)
        if attempt is not None:
            attempt.progress(done, total, note)

    def take(self, number: int, queue: str | None = None) -> AbstractContextManager[list[Task]]:
        """`with self.take(100) as tasks:` up to `number` tasks of a queue (this one by default), to do in one go.

        They are leased for as long as the block runs, done at its end, and go back if it raises. Works inside a task.
        """
        attempt = attempt_now.get(None)
        if attempt is None:
            raise RuntimeError("take works in a task that a worker runs")
        return attempt.take(number, queue)

    # The store

    @property
    def broker(self) -> Broker:
        """The broker through which this class pushes."""
        return type(self).outlet.broker()

    def lock(self, name: str) -> Lock:
        """A lock that all users of this store share."""
        return self.broker.lock(name)

    def set_key(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Keep `value` in the store for `ttl` seconds."""
        with self.broker.connector() as connector:
            connector.set(key, value, ttl)

    def get_key(self, key: str) -> bytes | None:
        """The value kept under `key`, or None."""
        with self.broker.connector() as connector:
            return connector.get(key)

    def delete_key(self, key: str) -> bool:
        """Whether there was one."""
        with self.broker.connector() as connector:
            return connector.delete(key)

    @property
    def logger(self) -> FieldLogger:
        """A logger that takes fields as keywords; inside a task it adds the task's."""
        from regiment.log import FieldLogger

        return FieldLogger(f"regiment.worker.{type(self).configuration().name}")
