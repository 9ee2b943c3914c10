"""Whether a task is one of those that are to be cancelled."""

from __future__ import annotations

from regiment.task import Task
from regiment_runner.shared.heads import TRACE

ASKED = "it was cancelled"
"""What an exception says that cancels a task."""


def meant(cancelled: frozenset[str], task: Task) -> bool:
    """True if the task is to be cancelled: by its id, or by its trace."""
    return task.id in cancelled or f"{TRACE}{task.trace_id or task.id}" in cancelled
