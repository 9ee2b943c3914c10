"""The states of a task, by Celery's names."""

from __future__ import annotations

from regiment_celery.result import FAILURE, PENDING, READY, RETRY, REVOKED, STARTED, SUCCESS

READY_STATES = READY
EXCEPTION_STATES = frozenset({RETRY, FAILURE, REVOKED})
ALL_STATES = frozenset({PENDING, STARTED, RETRY, SUCCESS, FAILURE, REVOKED})

__all__ = [
    "ALL_STATES",
    "EXCEPTION_STATES",
    "FAILURE",
    "PENDING",
    "READY_STATES",
    "RETRY",
    "REVOKED",
    "STARTED",
    "SUCCESS",
]
