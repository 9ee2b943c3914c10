"""The Tasks framework: Django's own from 6.0 on, else the package django-tasks. Nothing else of ours asks which it is."""

from __future__ import annotations

from typing import Any

try:
    from django.tasks import task_backends
    from django.tasks.backends.base import BaseTaskBackend
    from django.tasks.base import Task, TaskContext, TaskError, TaskResult, TaskResultStatus
    from django.tasks.exceptions import TaskResultDoesNotExist
    from django.tasks.signals import task_enqueued, task_finished, task_started
except ImportError:
    from django_tasks import task_backends
    from django_tasks.backends.base import BaseTaskBackend
    from django_tasks.base import (
        Task,
        TaskContext,
        TaskError,
        TaskResult,
        TaskResultStatus,
    )
    from django_tasks.exceptions import TaskResultDoesNotExist
    from django_tasks.signals import task_enqueued, task_finished, task_started

HIGHEST, LOWEST = 100, -100
"""Priorities of that framework."""


def band(priority: int) -> str:
    """The priority of a task there as one of ours: above 0 HIGH, below it LOW."""
    return "HIGH" if priority > 0 else "LOW" if priority < 0 else "NORMAL"


def result(task: Any, id: str, args: Any, kwargs: Any, backend: str, **known: Any) -> Any:
    """A result with what is known of it."""
    fields: dict[str, Any] = {
        "status": TaskResultStatus.READY,
        "enqueued_at": None,
        "started_at": None,
        "finished_at": None,
        "last_attempted_at": None,
        "errors": [],
        "worker_ids": [],
    }
    return TaskResult(task=task, id=id, args=list(args), kwargs=dict(kwargs), backend=backend, **{**fields, **known})


__all__ = [
    "BaseTaskBackend",
    "Task",
    "TaskContext",
    "TaskError",
    "TaskResult",
    "TaskResultDoesNotExist",
    "TaskResultStatus",
    "band",
    "result",
    "task_backends",
    "task_enqueued",
    "task_finished",
    "task_started",
]
