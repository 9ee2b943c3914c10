"""What is told at the ends of runs: errbacks in the step that buries a task, callbacks of bases, signals."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from regiment.contracts import Drop, Effect, Keep
from regiment.errors import Retry
from regiment.hooks import hookimpl
from regiment.outcome import Outcome
from regiment.task import Task as Record
from regiment_celery import signals
from regiment_celery.request import Context
from regiment_celery.states import FAILURE, RETRY, SUCCESS
from regiment_celery.task import CALLBACKS, Task
from regiment_celery.values import ERROR, ERRORS

_TOLD = (signals.task_prerun, signals.task_postrun, signals.task_success, signals.task_failure, signals.task_retry)
_BEGINS = (signals.worker_init, signals.worker_process_init, signals.worker_ready)
_ENDS = (signals.worker_shutdown, signals.worker_process_shutdown)


class Ending:
    """The hooks of an application's queues."""

    def __init__(self, app: Any) -> None:
        self._app = app

    @hookimpl
    def regiment_effects(self, task: Record | None, task_id: str, outcome: Outcome, settles: str) -> Iterable[Effect]:
        """Push the errbacks of a task that becomes a dead letter."""
        if settles != "dead" or task is None or not (errbacks := task.kwargs.get(ERRORS)):
            return ()
        error = outcome.error
        kind = type(error)
        name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
        failure = [task_id, task.name, name if error else outcome.kind, str(error or ""), outcome.text or ""]
        made: list[Effect] = []
        for one in errbacks:
            sig = self._app.read_signature(one)
            pushing, _ = sig.pushing({ERROR: failure})
            answer, _, effects = pushing.unsent({ERROR: failure})
            made += [_beside(answer.queue, effect) for effect in effects]
        return made


def _beside(queue: str, effect: Effect) -> Effect:
    return effect._replace(queue=queue) if isinstance(effect, (Keep, Drop)) and effect.queue is None else effect


def handlers_of(app: Any) -> dict[str, Any]:
    """The handlers that signals and bases of tasks need; none where nobody wants to be told, which keeps runs short."""
    found: dict[str, Any] = {}
    if any(one.receivers for one in _BEGINS):
        found["initialize"] = lambda: _send(_BEGINS, app)
    if any(one.receivers for one in _ENDS):
        found["finalize"] = lambda: _send(_ENDS, app)
    if signals.task_revoked.receivers:
        found["on_cancel"] = lambda task: signals.task_revoked.send(
            app.tasks.get(task.name), request=Context(task), terminated=True, signum=None, expired=False
        )
    based = any(
        getattr(type(task), name) is not getattr(Task, name) for task in app.tasks.values() for name in CALLBACKS
    )
    if based or any(one.receivers for one in _TOLD):
        told = Told(app)
        found |= {"pre_work": told.begin, "on_success": told.success, "on_failure": told.failure}
        found |= {"on_retry": told.retry, "on_timeout": told.timeout}
    return found


def _send(these: Iterable[signals.Signal], app: Any) -> None:
    for one in these:
        one.send(app)


class Told:
    """What is called around the runs of tasks."""

    def __init__(self, app: Any) -> None:
        self._app = app

    def _of(self, record: Record) -> tuple[Task, Context]:
        return self._app.tasks[record.name], Context(record)

    def begin(self, record: Record) -> None:
        """Before a run."""
        task, request = self._of(record)
        task.before_start(record.id, request.args, request.kwargs)
        signals.task_prerun.send(task, task_id=record.id, task=task, args=request.args, kwargs=request.kwargs)

    def success(self, record: Record, value: Any) -> None:
        """After a run that succeeded."""
        task, request = self._of(record)
        task.on_success(value, record.id, request.args, request.kwargs)
        signals.task_success.send(task, result=value)
        self._ended(task, request, SUCCESS, value, None)

    def failure(self, record: Record, error: BaseException) -> None:
        """After a run that failed, whether another one follows or not."""
        task, request = self._of(record)
        if task.will_retry(error, record.run_count):
            self._retried(task, request, error)
        else:
            self._failed(task, request, error)

    def timeout(self, record: Record) -> None:
        """After a run that passed its limit."""
        task, request = self._of(record)
        error = TimeoutError("its time limit has passed")
        if task.autoretry_for and (task.max_retries is None or record.run_count < task.max_retries):
            self._retried(task, request, error)
        else:
            self._failed(task, request, error)

    def retry(self, record: Record) -> None:
        """After a run that asked for another one."""
        self._retried(*self._of(record), Retry())

    def _failed(self, task: Task, request: Context, error: BaseException) -> None:
        id, trace = str(request.id), error.__traceback__
        task.on_failure(error, id, request.args, request.kwargs, trace)
        signals.task_failure.send(
            task, task_id=id, exception=error, args=request.args, kwargs=request.kwargs, traceback=trace, einfo=trace
        )
        self._ended(task, request, FAILURE, error, trace)

    def _retried(self, task: Task, request: Context, error: BaseException) -> None:
        task.on_retry(error, str(request.id), request.args, request.kwargs, error.__traceback__)
        signals.task_retry.send(task, request=request, reason=error, einfo=error.__traceback__)
        self._ended(task, request, RETRY, error, error.__traceback__)

    def _ended(self, task: Task, request: Context, state: str, value: Any, trace: Any) -> None:
        id = str(request.id)
        task.after_return(state, value, id, request.args, request.kwargs, trace)
        signals.task_postrun.send(
            task, task_id=id, task=task, args=request.args, kwargs=request.kwargs, retval=value, state=state
        )
