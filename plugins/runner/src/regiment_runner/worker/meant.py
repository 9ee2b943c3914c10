"""Whether a task is one of those that are to be cancelled."""

from __future__ import annotations

from regiment.task import Task

ASKED = "it was cancelled"
"""What an exception says that cancels a task."""
TRACE = "trace:"
"""What begins a notice about all tasks of a trace: the task with this id, and whatever was pushed from it."""


def meant(cancelled: frozenset[str], task: Task) -> bool:
    """True if the task is to be cancelled: by its id, or by its trace."""
    return task.id in cancelled or f"{TRACE}{task.trace_id or task.id}" in cancelled
