"""Which attempt runs here: the context variable that holds it, and `current()`."""

from __future__ import annotations

from contextvars import ContextVar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from regiment.contracts import Attempt

attempt_now: ContextVar[Attempt] = ContextVar("regiment_attempt")
"""The attempt that this thread or coroutine is in; unset outside of a task."""


def current() -> Attempt:
    """The attempt that is running here: `.task`, `.remaining()`, `.progress(done, total, note)`, `.commit`, `.once(…)`,
    `.take(number)`, and `.retry()`, `.requeue()`, `.fail()`, `.stop()`, `.respawn()`.

    Raises `RuntimeError` outside of a task.
    """
    attempt = attempt_now.get(None)
    if attempt is None or attempt.task is None:
        raise RuntimeError("regiment.current() was called outside of a task")
    return attempt
