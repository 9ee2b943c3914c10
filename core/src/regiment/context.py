"""TODO"""

from __future__ import annotations

import os
import time
from contextvars import ContextVar
from itertools import count

attempt_now: ContextVar[Attempt] = ContextVar("regiment_attempt")
"""The attempt that this thread or coroutine is in; unset outside of a task."""


def current() -> Attempt:
    """The attempt that is running here: `.task`, `.remaining()`, `.progress(done, total, note)`.

    Raises `RuntimeError` outside of a task.
    """
    attempt = attempt_now.get(None)
    if attempt is None or attempt.task is None:
        raise RuntimeError("regiment.current() was called outside of a task")
    return attempt
