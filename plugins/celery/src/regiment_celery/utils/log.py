"""`get_task_logger`."""

from __future__ import annotations

import logging


def get_task_logger(name: str) -> logging.Logger:
    """A logger of Python; inside a task its lines carry the task's fields."""
    return logging.getLogger(name)


get_logger = get_task_logger
