"""The extension. OpenTelemetry is imported at the first push or run, and in no keeper."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from regiment.hooks import hookimpl

if TYPE_CHECKING:
    from regiment.contracts import Push
    from regiment.outcome import Outcome
    from regiment.task import Task


class Tracing:
    """What a queue gets that names `Opentelemetry(…)`. Each process builds its own."""

    def __init__(self, parent: bool = False) -> None:
        self.parent = parent

    @hookimpl
    def regiment_around_push(self, push: Push) -> AbstractContextManager[None]:
        """A span around a push; its context goes into the headers."""
        from regiment_opentelemetry.spans import sending

        return sending(push)

    @hookimpl
    def regiment_around_attempt(self, task: Task) -> AbstractContextManager[None]:
        """A span around a run."""
        from regiment_opentelemetry.spans import processing

        return processing(task, self.parent)

    @hookimpl
    def regiment_task_finished(self, task: Task, outcome: Outcome) -> None:
        """The run's outcome, and its error."""
        from regiment_opentelemetry.spans import finished

        finished(task, outcome)

    @hookimpl
    def regiment_task_dead(self, letter: Mapping[str, Any]) -> None:
        """That the task will not run again."""
        from regiment_opentelemetry.spans import dead

        dead(letter)

    @hookimpl
    def regiment_worker_stopping(self, worker: Any) -> None:
        """Have what a worker collected exported before it ends."""
        from regiment_opentelemetry.spans import flush

        flush()
