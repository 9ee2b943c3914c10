"""The exceptions that tasks of Celery raise and catch."""

from __future__ import annotations

from typing import Any

from regiment.errors import RegimentError, StoreUnavailable, TaskTimeout
from regiment.errors import Retry as Retry
from regiment_celery.options import Refused as ImproperlyConfigured
from regiment_results.errors import ResultTimeout as TimeoutError

SoftTimeLimitExceeded = TaskTimeout
"""A `BaseException`: an `except Exception` lets it through."""
OperationalError = StoreUnavailable

__all__ = [
    "CeleryError",
    "Ignore",
    "ImproperlyConfigured",
    "MaxRetriesExceededError",
    "NotRegistered",
    "OperationalError",
    "Reject",
    "Retry",
    "SoftTimeLimitExceeded",
    "TaskRevokedError",
    "TimeLimitExceeded",
    "TimeoutError",
    "WorkerLostError",
]


class CeleryError(RegimentError):
    """Base of what this package raises in Celery's name."""


class Ignore(CeleryError):
    """Raised in a task: it is done, with None as its result."""


class Reject(CeleryError):
    """Raised in a task: it is a dead letter at once, or with `requeue` runs again without counting a run."""

    def __init__(self, reason: Any = None, requeue: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.requeue = reason, requeue


class MaxRetriesExceededError(CeleryError):
    """`self.retry()` was called in the last run that the task has."""


class NotRegistered(CeleryError, KeyError):
    """No task of the application has this name."""


class TaskRevokedError(CeleryError):
    """`get()` of a task that was revoked, or has expired."""


class TimeLimitExceeded(CeleryError):
    """`get()` of a task that has passed its limit."""


class WorkerLostError(CeleryError):
    """`get()` of a task whose runs have ended their workers, as often as `max_deliveries` allows."""
