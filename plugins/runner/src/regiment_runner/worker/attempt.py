"""One try at one delivery, as its task and its executor see it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Literal, NoReturn
from uuid import UUID

from regiment import log
from regiment import outcome as outcomes
from regiment.context import attempt_now
from regiment.errors import Cancelled, Fail, Requeue, Respawn, Retry, Stop, TaskTimeout
from regiment.outcome import Outcome
from regiment_runner.shared import page
from regiment_runner.worker.commit import AFTER, Commit
from regiment_runner.worker.ending import NO_RULES, adrive, drive, ending, succeeded, whole
from regiment_runner.worker.guarded import DONE, aworked, cancelled, worked
from regiment_runner.worker.leaving import kept
from regiment_runner.worker.meant import ASKED, meant
from regiment_runner.worker.once import Mode, Once, once
from regiment_runner.worker.opening import LARGE, opened
from regiment_runner.worker.saying import measured, say_started
from regiment_runner.worker.sprint import sprint
from regiment_runner.worker.taking import Taking
from regiment_runner.worker.trial import Left, Trial
from regiment_runner.worker.verdict import read_note

number_now: ContextVar[int] = ContextVar("regiment_number")
"""On a loop: the number of the attempt that this context began with. What a coroutine starts may outlive it, and its slot then
runs another one.
"""


class Attempt(Trial):
    """One try. What it is made of stands in `Trial`; how it opens, works and ends are functions that take it."""

    __slots__ = ()

    # What an executor calls

    def run(self) -> None:
        """Run to the settlement, here. Never raises what the task raised."""
        attempt_now.set(self)
        found = opened(self)
        if found is None:
            return
        work, rules = found
        if self.outcome is not None or not self.runtime.plain:
            drive(whole(self, work, rules, worked))
            return
        if self.runtime.loud:
            say_started()
        outcome = worked(self, work, rules)
        if self.made is not None:
            outcome = kept(self, outcome, rules)
        if outcome is DONE:
            succeeded(self)
        else:
            drive(ending(self, outcome, rules))

    async def arun(self) -> None:
        """The same on an event loop, where hooks and `work` may be coroutine functions."""
        attempt_now.set(self)
        number_now.set(self.number)
        found = opened(self)
        if found is None:
            return
        work, rules = found
        if self.outcome is not None or not self.runtime.plain:
            await adrive(whole(self, work, rules, aworked))
            return
        if self.runtime.loud:
            say_started()
        outcome = await aworked(self, work, rules)
        if self.made is not None:
            outcome = kept(self, outcome, rules)
        if outcome is DONE:
            succeeded(self)
        else:
            await adrive(ending(self, outcome, rules))

    def run_on(self) -> None:
        """Run to the settlement, and then what is next in its slot, as long as nothing else is due: for an executor that
        runs one after the other in the thread that takes them. It saves some calls for each task.
        """
        _, payload, count, note, _ = self.delivery
        if self.line is None or count or note is not None or len(payload) > LARGE or not self.runtime.plain:
            self.run()
            return
        if attempt_now.get(None) is not self:
            attempt_now.set(self)
        sprint(self, self.line)

    def write_off(self, number: int, stack: str) -> bool:
        """End it without its thread, which runs `number` and stands at `stack`; False if that has come back after all."""
        if self.number != number or not self.claim():
            return False
        task_id = getattr(self.task, "id", None)
        queue = self.runtime.config.name
        log.event(logging.WARNING, "worker.thread_lost", queue=queue, id=task_id, next="the worker is replaced")
        threading.Thread(target=self._abandon, args=(stack,), daemon=True).start()
        return True

    def _abandon(self, stack: str) -> None:
        """End it as a timeout. In a thread of its own: the handlers that run here may take their time."""
        attempt_now.set(self)
        task = self.task
        found = None if task is None else self.runtime.work_for(task)
        rules = NO_RULES if found is None else found[1]
        text = "its time limit has passed, and its thread did not stop"
        evidence = {
            "kind": outcomes.TIMEOUT,
            "rung": "written off",
            "reason": text,
            "stacks": stack,
        }
        outcome = Outcome(
            outcomes.TIMEOUT,
            error=TaskTimeout(text),
            text=f"{text}; it stands at\n{stack}",
            evidence={**evidence, **measured(self)},
        )
        if self.struck:
            outcome = cancelled(outcome)
        drive(ending(self, outcome, rules))

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
    def cancelled(self) -> bool:
        """True if this task is to be cancelled: it may clean up and return, or raise what it likes; it ends as cancelled
        unless it succeeds.
        """
        asked = self.runtime.cancelled
        return self.struck or bool(asked and self.task is not None and meant(asked, self.task))

    def check(self) -> None:
        """Raise `Cancelled` if this task is to be cancelled: for a task that nothing can interrupt where it runs."""
        if self.cancelled:
            raise Cancelled(reason=ASKED)

    @property
    def evidence(self) -> dict[str, Any]:
        """What was kept when this task was struck, or ended a worker before: `rung`, `reason`, `stacks`, `rss` (bytes),
        `cpu` and `seconds`, as far as they are known; empty for an ordinary task.
        """
        if self.outcome is not None and self.outcome.evidence:
            return self.outcome.evidence
        return read_note(self.delivery.note)

    @property
    def commit(self) -> Commit:
        """Children to push and records to keep in the very step in which this task succeeds, or not at all."""
        if attempt_now.get(None) is not self or number_now.get(self.number) != self.number:
            raise RuntimeError(
                "commit was asked for outside of its task: after the end of it, or in a thread that is not in it; nothing of it "
                "would be done. Take it in the task, commit = current().commit, and pass that on"
            )
        if self.over:
            raise RuntimeError(
                "commit was asked for in a hook of an end that is no success; nothing of it would be done. Push at once, with "
                "task.push(…), or say it in the run that succeeds"
            )
        with self.runtime.committing:
            made = self.made
            if isinstance(made, Left) or made is False:
                raise RuntimeError(f"commit was asked for {AFTER}")
            if not isinstance(made, Commit):
                self.made = made = Commit(self.runtime)
            return made

    def once(
        self,
        *words: str | int | UUID,
        ask: Callable[[], Any] | None = None,
        mode: Mode = "least",
        scope: Literal["task", "queue"] = "task",
        keep: float = 86_400.0,
    ) -> Once:
        """`with current().once("charge", order.id) as effect:` an effect on another system that a later run of this task finds done.

        The same words in the same task are the same effect. `mode` "least": a run that is killed between effect and entry has it
        done again, under the same `effect.id`; "most": the next run gets `Unknown`, unless `ask` can tell what it gave (None:
        it was not done). With the `scope` "queue" the same words in any task of the queue are the same effect, remembered for `keep`
        seconds; a task that finds another one at it runs again later.
        """
        if attempt_now.get(None) is not self or number_now.get(self.number) != self.number:
            raise RuntimeError(
                "once was asked for outside of its task: after the end of it, or in a thread that is not in it"
            )
        if scope == "task":
            return once(self, words, ask, mode)
        from regiment_runner.worker.once_shared import shared

        return shared(self, words, ask, mode, scope, keep)

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
