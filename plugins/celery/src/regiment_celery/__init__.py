"""Celery's names on regiment: a project runs by one changed import, `from regiment_celery import Celery`.

What cannot be had is refused where it is written, in words; `docs/celery.md` has the list. Names load when they are first used:
every command looks at this package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from regiment import lazily

__all__ = [
    *lazily(
        globals(),
        {
            "app": "Celery",
            "shared": "current_app current_task shared_task",
            "task": "Task",
            "canvas": "Signature chain chord group signature subtask",
            "options": "Ignored Refused",
            "result": "AsyncResult GroupResult",
        },
    )
]

if TYPE_CHECKING:
    from regiment_celery.app import Celery as Celery
    from regiment_celery.canvas import Signature as Signature
    from regiment_celery.canvas import chain as chain
    from regiment_celery.canvas import chord as chord
    from regiment_celery.canvas import group as group
    from regiment_celery.canvas import signature as signature
    from regiment_celery.canvas import subtask as subtask
    from regiment_celery.options import Ignored as Ignored
    from regiment_celery.options import Refused as Refused
    from regiment_celery.result import AsyncResult as AsyncResult
    from regiment_celery.result import GroupResult as GroupResult
    from regiment_celery.shared import current_app as current_app
    from regiment_celery.shared import current_task as current_task
    from regiment_celery.shared import shared_task as shared_task
    from regiment_celery.task import Task as Task
