"""The backend of the Tasks framework: `django.tasks`, or the package django-tasks where Django has none.

TASKS = {"default": {"BACKEND": "regiment_django.backend.RegimentBackend", "QUEUES": ["default", "mail"]}}
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django.core import checks
from django.utils import timezone

from regiment.errors import RegimentError, nearest
from regiment_django import conf, framework
from regiment_django.extension import KEY
from regiment_django.queues import DeclaredQueue


class RegimentBackend(framework.BaseTaskBackend):  # type: ignore[misc]
    """Tasks of the framework in queues of regiment. `OPTIONS` are settings of its queues, as in `REGIMENT["defaults"]`.

    Priorities have three bands: above 0, 0, below 0. Results can be had where `plugins` names `Results(…)`.
    """

    supports_defer = True
    supports_async_task = True
    supports_priority = True

    def __init__(self, alias: str, params: dict[str, Any]) -> None:
        super().__init__(alias, params)
        self.declared: dict[str, Any] = _declared.setdefault(alias, {})
        self._queues = _queues.setdefault((alias, repr(params)), {})

    @property
    def supports_get_result(self) -> bool:
        """True if one of its queues keeps results."""
        return any(self.queue(name).keeps for name in self.queues)

    def validate_task(self, task: Any) -> None:
        """Refuse what cannot run; what can is known from now on."""
        super().validate_task(task)
        self.declared.setdefault(task.module_path, task)

    def queue(self, name: str) -> DeclaredQueue:
        """The queue of that name."""
        if name not in self._queues:
            known = {field: value for field, value in self.options.items() if field in conf.FIELDS}
            self._queues[name] = DeclaredQueue(name, self.declared, **{**conf.of_queue(name), **known})
        return self._queues[name]

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        """Push the task; in a transaction it is sent at its commit."""
        self.validate_task(task)
        queue = self.queue(task.queue_name)
        result = framework.result(task, "", args, kwargs, self.alias, enqueued_at=timezone.now())
        at = task.run_after
        options: dict[str, Any] = {"declared": task.priority} if queue.keeps else {}
        if at is not None:
            options["at"] = at if timezone.is_aware(at) else timezone.make_aware(at)
        pushing = queue.options(name=task.module_path, priority=framework.band(task.priority), **options)
        pushed = pushing.push(args=result.args, kwargs=result.kwargs)
        object.__setattr__(result, "id", pushed.id)
        framework.task_enqueued.send(type(self), task_result=result)
        return result

    def get_result(self, result_id: str) -> Any:
        """What is known of a task; `TaskResultDoesNotExist` if that is nothing (any more)."""
        if not self.supports_get_result:
            raise NotImplementedError(
                'this backend keeps no results; "OPTIONS": {"plugins": [Results()]} of regiment-results does'
            )
        for name in sorted(self.queues):
            queue = self.queue(name)
            found = queue.kept(KEY + result_id) if queue.keeps else None
            if found is not None and found["path"] in self.declared:
                return self._result(queue, result_id, found)
        raise framework.TaskResultDoesNotExist(result_id)

    def _result(self, queue: DeclaredQueue, id: str, found: Mapping[str, Any]) -> Any:
        from regiment_results import Outcome, handle

        status, known = framework.TaskResultStatus, dict[str, Any](enqueued_at=_time(found["at"]))
        task = self.declared[found["path"]].using(priority=found["priority"], queue_name=queue.name)
        looked = handle(queue, id).look()
        if isinstance(looked, Outcome):
            known.update(started_at=_time(looked.started), last_attempted_at=_time(looked.started))
            known.update(finished_at=_time(looked.ended), worker_ids=[looked.worker] * max(1, looked.runs))
            known["status"] = status.SUCCESSFUL if looked.success else status.FAILED
            if not looked.success:
                told = looked.error
                path = (
                    told.type
                    if told is not None and "." in told.type
                    else f"builtins.{told.type if told else 'Exception'}"
                )
                known["errors"] = [
                    framework.TaskError(exception_class_path=path, traceback=told.traceback if told else looked.kind)
                ]
        elif looked is not None and looked.state == "running":
            began = looked.progress.started if looked.progress else found["at"]
            known.update(status=status.RUNNING, started_at=_time(began), last_attempted_at=_time(began))
        result = framework.result(task, id, found["args"], found["kwargs"], self.alias, **known)
        if isinstance(looked, Outcome) and looked.success:
            object.__setattr__(result, "_return_value", looked.value)
        return result

    def check(self, **kwargs: Any) -> list[checks.CheckMessage]:
        """What is wrong with its options and queues."""
        found = list(super().check(**kwargs))
        for option in self.options:
            if option not in conf.FIELDS:
                text = f'TASKS["{self.alias}"]["OPTIONS"] has "{option}", which is no setting of a queue.'
                found.append(checks.Error(text + nearest(str(option), conf.FIELDS), id="regiment.E003"))
        for name in sorted(self.queues):
            try:
                problems = self.queue(name).config.check()
            except RegimentError as error:
                problems = [str(error)]
            found += [checks.Error(f'queue "{name}": {text}', id="regiment.E003") for text in problems]
        return found


_declared: dict[str, dict[str, Any]] = {}
"""Alias of a backend -> path -> task: threads have backends of their own, and tasks are declared once."""
_queues: dict[tuple[str, str], dict[str, DeclaredQueue]] = {}
"""Alias and parameters -> name -> queue, for the same reason."""


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
