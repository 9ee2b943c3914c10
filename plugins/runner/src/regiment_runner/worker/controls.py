"""What a task may ask of the attempt that runs it, through `current()`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NoReturn, Protocol

from regiment.contracts import Delivery, Settlement
from regiment.errors import Fail, Requeue, Respawn, Retry, Stop
from regiment.outcome import Outcome
from regiment.task import Task
from regiment_runner.shared import page
from regiment_runner.worker.policy import Rules
from regiment_runner.worker.runtime import Runtime
from regiment_runner.worker.taking import Taking
from regiment_runner.worker.verdict import read_note

UNGUARDED: nullcontext[None] = nullcontext()
"""The guard of a task without a limit."""


class Settler(Protocol):
    """Who takes the settlements: the source."""

    def done(self, attempt: Controls) -> None: ...

    def follow(self, attempt: Controls) -> bool: ...

    def finish(self, attempt: Controls, settlement: Settlement) -> None: ...

    def end(self, respawn: bool) -> None: ...

    def came_back(self, attempt: Controls) -> bool: ...


class Controls:
    """One try as its task sees it. Each slot has one, used again for every delivery that runs there."""

    __slots__ = (
        "at",
        "delivery",
        "ending",
        "found",
        "guard",
        "guarded",
        "identity",
        "number",
        "outcome",
        "runtime",
        "shown",
        "slot",
        "source",
        "start_at",
        "started",
        "task",
        "words",
    )

    delivery: Delivery
    number: int
    identity: str
    started: int

    def __init__(self, runtime: Runtime, source: Settler, slot: int) -> None:
        self.runtime, self.source, self.slot = runtime, source, slot
        self.at, self.words = page.slot_index(slot), runtime.page.words
        self.start_at = self.at * 8 + page.START_AT
        self.task: Task | None = None
        """None until it is decoded."""
        self.shown = ""
        """The name that stands on the page."""
        self.found: tuple[Callable[[Task], Any], Rules] | None = None
        """What runs tasks of that name."""
        self.outcome: Outcome | None = None
        """How it ended, while its handlers run."""
        self.ending: list[bool] = []
        self.guard: AbstractContextManager[None] = UNGUARDED
        self.guarded: Rules | None = None
        """The rules whose limits `guard` arms."""

    # What a task may call, through `current()`

    def remaining(self) -> float | None:
        """Seconds until this task's limit; None without one. Negative if it has passed."""
        words, at = self.words, self.at
        limit = words[at + page.SOFT] or words[at + page.HARD]
        return (limit - page.now()) / 1e9 if limit else None

    def progress(self, done: int, total: int = 0, note: str = "") -> None:
        """Tell `regiment workers` how far this task is; costs no system call."""
        self.runtime.page.progress(self.slot, done, total, note)

    @property
    def evidence(self) -> dict[str, Any]:
        """What was kept when this task was struck, or ended a worker before: `rung`, `reason`, `stacks`, `rss` (bytes),
        `cpu` and `seconds`, as far as they are known; empty for an ordinary task.
        """
        if self.outcome is not None and self.outcome.evidence:
            return self.outcome.evidence
        return read_note(self.delivery.note)

    def take(self, number: int, queue: str | None = None) -> Taking:
        """`with current().take(100) as tasks:` up to `number` tasks of a queue (this one by default) to do in one go.

        They are done at the end of the block and go back if it raises.
        """
        if self.runtime.desk is None:
            raise RuntimeError("take works in a task that a worker runs")
        return self.runtime.desk.take(number, queue, self.runtime)

    def retry(self, **options: Any) -> NoReturn:
        """Run this task again as one of its retries: `delay` seconds from now, or `at` a time; `priority`; `kwargs`, if
        not with the arguments that were pushed.
        """
        raise Retry(**options)

    def requeue(self, **options: Any) -> NoReturn:
        """Run this task again without counting a run: `delay`, `at`, `priority`, `kwargs`."""
        raise Requeue(**options)

    def fail(self, reason: object = None) -> NoReturn:
        """Make this task a dead letter at once."""
        raise Fail(reason=reason)

    def stop(self, *, done: bool = False) -> NoReturn:
        """End all workers of this target; the task goes back, or is finished if `done`."""
        raise Stop(done=done)

    def respawn(self, *, done: bool = False) -> NoReturn:
        """Replace this worker process; the task goes back, or is finished if `done`."""
        raise Respawn(done=done)
