"""The extension. The SDK is imported in workers, in a process that traces a push, and in a keeper when a worker of it was killed."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from regiment.hooks import hookimpl

if TYPE_CHECKING:
    from regiment.contracts import Push
    from regiment.outcome import Outcome
    from regiment.task import Task


class Reporting:
    """What a queue gets that names `Sentry(…)`. Each process builds its own. Hooks that would cost a success something are there only
    with `tracing`, and the one for failures only with one of the two.
    """

    def __init__(self, dsn: str = "", each_try: bool = False, tracing: bool = False) -> None:
        self.dsn, self.each_try, self.tracing = dsn, each_try, tracing
        if each_try or tracing:
            self.regiment_task_failed = self._task_failed
        if tracing:
            self.regiment_around_push, self.regiment_around_attempt = self._around_push, self._around_attempt

    @hookimpl
    def regiment_worker_started(self, worker: Any) -> None:
        """Have an SDK, if the application has set up none."""
        from regiment_sentry.sdk import prepared

        prepared(self.dsn)

    @hookimpl
    def regiment_task_dead(self, letter: Mapping[str, Any]) -> None:
        """Report a dead letter."""
        from regiment_sentry.reports import dead

        dead(letter, self.each_try)

    @hookimpl
    def regiment_worker_ended(self, end: Mapping[str, Any]) -> None:
        """Report a worker that was killed, from the keeper."""
        from regiment_sentry.endings import ended

        ended(end, self.dsn)

    @hookimpl
    def regiment_worker_stopping(self, worker: Any) -> None:
        """Have what a worker has reported sent before it ends."""
        from regiment_sentry.sdk import flush

        flush()

    @hookimpl
    def _task_failed(self, task: Task, outcome: Outcome) -> None:
        from regiment_sentry.reports import ERRORS, failed

        if outcome.kind not in ERRORS:
            return
        if self.tracing:
            from regiment_sentry.tracing import mark_failed

            mark_failed()
        if self.each_try:
            failed(task, outcome)

    @hookimpl
    def _around_push(self, push: Push) -> AbstractContextManager[None]:
        from regiment_sentry.tracing import submitting

        return submitting(push)

    @hookimpl
    def _around_attempt(self, task: Task) -> AbstractContextManager[None]:
        from regiment_sentry.tracing import processing

        return processing(task)
