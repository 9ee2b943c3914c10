"""What becomes of an attempt after its work: handlers, settlement, and what is told to whom."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack
from typing import Any

from regiment import log
from regiment import outcome as outcomes
from regiment.config import WorkerConfig
from regiment.contracts import Again, Back, Dead, Done, Park, Settlement
from regiment.errors import Control
from regiment.outcome import Outcome
from regiment.task import Task
from regiment_runner.shared import descendants, page, procfs
from regiment_runner.worker import policy
from regiment_runner.worker.admission import Bury, Decision, Wait
from regiment_runner.worker.burying import buried, id_of, tell_dead
from regiment_runner.worker.controls import Controls
from regiment_runner.worker.policy import Rules, Step
from regiment_runner.worker.verdict import judge, reason_of, safe_repr, trace

Call = tuple[Callable[..., Any], tuple[Any, ...]]
Steps = Generator[Call, tuple[Any, Any], None]
"""Calls to make, each answered with what it returned and what it raised. Nothing is thrown in: a generator takes a
`GeneratorExit` that a hook raised for its own end.
"""


class Ending(Controls):
    """One try, from the end of its work to its settlement. Steps are called or awaited by whoever drives them."""

    __slots__ = ()

    def _whole(self, work: Callable[[Task], Any], rules: Rules, guarded: Callable[..., Any]) -> Steps:
        """Everything around the work, as steps: whoever drives them decides whether to call or to await."""
        runtime, task, outcome = self.runtime, self.task, self.outcome
        assert task is not None
        if outcome is None and runtime.debug:
            log.event(logging.DEBUG, "task.started", **log.attempt_fields())
        with ExitStack() as stack:
            for around in runtime.around:
                log.tell(_enter, stack, around, task)
            for told in runtime.started:
                log.tell(told, task)
            if outcome is None and "pre_work" in runtime.handlers:
                _, error = yield runtime.handlers["pre_work"], (task,)
                if error is not None:
                    outcome = judge(error, rules)
            if outcome is None:
                outcome, error = yield guarded, (work, rules)
                outcome = outcome or judge(error, rules)
            yield from self._ending(outcome, rules)

    def _ending(self, outcome: Outcome, rules: Rules) -> Steps:
        """What follows from the outcome is fixed first; then all are told; whatever they do, it is settled."""
        if self.runtime.forked:
            self._close(Back(self.number, self.number))  # ends this process, before any handler
        self._mark_ended()
        try:
            self._look_at(outcome)
        except BaseException as error:
            self._complain("attempt.error", error)
        plan = self._plan(outcome, rules)
        try:
            yield from self._tell(plan, rules)
        except BaseException as error:
            self._complain("attempt.error", error)
        if plan.outcome.kind in (outcomes.STOP, outcomes.RESPAWN):
            self.source.end(respawn=plan.outcome.kind == outcomes.RESPAWN)
        self.outcome = None
        returns = plan.outcome.kind == outcomes.RESPAWN and type(plan.settlement) is Back
        if not (returns and self.source.came_back(self)):
            self._close(plan.settlement)

    def _tell(self, plan: Plan, rules: Rules) -> Steps:
        """post_work, the handlers, the log, the observers. A control that a handler raises may replace the plan."""
        runtime, task = self.runtime, self.task
        self.outcome = outcome = plan.outcome
        if "post_work" in runtime.handlers:
            yield from self._hook("post_work", task, outcome.kind == outcomes.SUCCESS, outcome.error)
        replaced = yield from self._handler(outcome)
        if replaced is not None:
            replaced.evidence = outcome.evidence
            try:
                plan.become(self._planned(replaced, rules))
            except BaseException as error:
                hook = outcomes.HANDLERS[outcome.kind]
                self._complain("hook.error", error, hook=hook, next="what it asks for is left out")
            self.outcome = outcome = plan.outcome
        if plan.step.exhausted:
            yield from self._hook(outcomes.HANDLERS[outcomes.MAX_RETRIES], task)
        seconds = (page.now() - self.started) / 1e9
        self._log(outcome, plan.step, seconds)
        for told in runtime.finished:
            log.tell(told, task, outcome, seconds)
        if outcome.kind != outcomes.SUCCESS:
            for told in runtime.failed:
                log.tell(told, task, outcome, seconds)
        if isinstance(plan.settlement, Dead):
            reason = json.loads(plan.settlement.reason)
            if task is not None:
                task.run_count = reason.get("runs", 0)
            yield from self._hook("on_dead", task, reason)
            tell_dead(self.runtime, plan.settlement)

    # What is written

    def _plan(self, outcome: Outcome, rules: Rules) -> Plan:
        """The only place where what a task gave (a control, other arguments, its own exception) becomes what is written.

        What cannot be written is a failure that says so, of a delivery that keeps its own payload.
        """
        try:
            return self._planned(outcome, rules)
        except BaseException as error:
            wrong = error
        self._complain("task.unwritable", wrong, next="it is settled with its own payload")
        failed = Outcome(outcomes.FAILURE, error=wrong, text=trace(wrong), evidence=outcome.evidence)
        try:
            return self._planned(failed, rules)
        except BaseException:
            reason = json.dumps(
                {
                    "kind": outcomes.FAILURE,
                    "name": "",
                    "queue": self.runtime.config.name,
                    "error": f"{safe_repr(outcome.error) if outcome.error else outcome.kind}; {safe_repr(wrong)}",
                }
            )
            return Plan(
                failed,
                Step("dead"),
                Dead(self.number, id_of(self.delivery.payload), reason.encode()),
            )

    def _planned(self, outcome: Outcome, rules: Rules) -> Plan:
        number = self.number
        if outcome.kind == outcomes.SUCCESS:
            return Plan(outcome, Step("done"), Done(number, number))
        if outcome.kind == outcomes.INTERRUPTED and self.runtime.config.delivery == "at_most_once":
            text = "was interrupted, and runs at most once"
            outcome = Outcome(outcomes.POISON, error=outcome.error, text=text)
        task = self._delivered()
        step = policy.next_step(outcome, task.run_count, rules)
        if step.settle == "done":
            return Plan(outcome, step, Done(number, number))
        if step.settle == "back":
            return Plan(outcome, step, Back(number, number))
        task.run_count += step.counts
        if step.settle == "dead":
            return Plan(outcome, step, Dead(number, task.id, reason_of(outcome, task)))
        return self._again(outcome, step, task)

    def _again(self, outcome: Outcome, step: Step, task: Task) -> Plan:
        """The next run: of the delivered payload with its runs counted, or of the arguments that a control names."""
        asked = policy.control_kwargs(outcome.error)
        if asked is not None:
            task.kwargs = asked
            payload = self.runtime.codec.encode(task)
        elif step.counts:
            try:
                payload = self.runtime.codec.encode(task)
            except Exception as error:
                return self._unwritable(outcome, task, error)
        else:
            payload = self.delivery.payload
        return Plan(outcome, step, Again(self.number, payload, step.delay, step.priority))

    def _unwritable(self, outcome: Outcome, task: Task, error: Exception) -> Plan:
        """It was read and cannot be written again: it keeps the bytes that came, and its own reason."""
        self._complain("task.unwritable", error, next="is a dead letter")
        text = f"it cannot run again, for its message cannot be written: {safe_repr(error, 500)}"
        dead = Dead(self.number, task.id, reason_of(outcome, task, text))
        return Plan(outcome, Step("dead", counts=True), dead)

    def _delivered(self) -> Task:
        """The task as it came, decoded anew: its run may have changed every part of the one that it was given."""
        runtime, delivery = self.runtime, self.delivery
        return runtime.decode(delivery.payload, runtime.queue, delivery.count)

    def _complain(self, event: str, error: BaseException, **fields: Any) -> None:
        """Say what went wrong in an ending; a handler of the log that fails changes nothing either."""
        with contextlib.suppress(Exception):
            log.event(logging.ERROR, event, exc_info=error, **{**log.attempt_fields(), **fields})

    def _look_at(self, outcome: Outcome) -> None:
        """What an end asks for besides its handlers: evidence of a soft strike, and an end of what cannot go on."""
        error = outcome.error
        if outcome.kind == outcomes.TIMEOUT and outcome.evidence is None:
            reason = safe_repr(error, 500) if error is not None else ""
            outcome.evidence = {
                "kind": outcomes.TIMEOUT,
                "rung": "soft",
                "reason": reason,
                **self._measured(),
            }
            if self.runtime.slots == 1:
                descendants.end_since(self.started)
        elif isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            log.event(
                logging.ERROR,
                "worker.exhausted",
                error=str(error),
                next="the worker is replaced",
                **log.attempt_fields(),
            )
            self.source.end(respawn=True)

    def _measured(self) -> dict[str, Any]:
        """Seconds since the start, and resident memory (bytes) and CPU seconds of this process."""
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF)
        seconds = round((page.now() - self.started) / 1e9, 3)
        return {
            "seconds": seconds,
            "rss": procfs.resident(),
            "cpu": round(used.ru_utime + used.ru_stime, 2),
        }

    def _handler(self, outcome: Outcome) -> Generator[Call, tuple[Any, Any], Outcome | None]:
        """Call the handler of the outcome; a control with which it replaces a failure is returned, judged."""
        name = outcomes.HANDLERS.get(outcome.kind)
        if name is None or name not in self.runtime.handlers:
            return None
        extra: tuple[Any, ...] = ()
        if name == "on_success":
            extra = (outcome.value,)
        elif name == "on_failure":
            extra = (outcome.error,)
        replaces = outcome.kind in (outcomes.FAILURE, outcomes.TIMEOUT)
        return (yield from self._hook(name, self.task, *extra, replaces=replaces))

    def _hook(self, name: str, *args: Any, replaces: bool = False) -> Generator[Call, tuple[Any, Any], Outcome | None]:
        """Call a hook if the user has it. Stop and respawn are obeyed, and leave the settlement as it is; another control
        is returned where it `replaces` the outcome; all else is logged.
        """
        hook = self.runtime.handlers.get(name)
        if hook is None:
            return None
        if name == "on_stop":
            args = args[:1]
        _, error = yield hook, args
        if error is None:
            return None
        judged = judge(error, NO_RULES)
        if judged.kind in (outcomes.STOP, outcomes.RESPAWN):
            self.source.end(respawn=judged.kind == outcomes.RESPAWN)
            log.event(logging.INFO, f"hook.{judged.kind}", hook=name, **log.attempt_fields())
        elif replaces and isinstance(judged.error, Control):
            return judged
        else:
            self._complain("hook.error", error, hook=name)
        return None

    def _close(self, settlement: Settlement) -> None:
        self.source.finish(self, settlement)

    def _mark_ended(self) -> None:
        words, at = self.words, self.at
        if words[at] & 7 == page.STARTED:
            words[at] = self.number << 3 | page.ENDED

    def _settle_unrun(self, decided: Decision) -> None:
        """Settle what neither runs nor is judged: `admission` has decided it."""
        queue = self.runtime.config.name
        if isinstance(decided, Wait):
            level = logging.WARNING if not self.delivery.parked else logging.INFO
            log.event(level, "task.parked", reason=decided.text, next_in=round(decided.delay, 1), queue=queue)
            self._mark_ended()
            self._close(Park(self.number, decided.delay))
        elif isinstance(decided, Bury):
            self._mark_ended()
            letter = buried(self.delivery, decided, queue)
            tell_dead(self.runtime, letter)
            self._close(letter)
        else:
            log.event(logging.INFO, "task.expired", **log.attempt_fields())
            self._close(Done(self.number, self.number))

    def _log(self, outcome: Outcome, step: Step, seconds: float) -> None:
        """A failing task is loud: its traceback, and what happens next."""
        level = _LEVELS.get(outcome.kind, logging.INFO)
        if step.settle == "dead":
            level = logging.ERROR
        named = self.runtime.levels.get(f"task.{outcome.kind}", "")
        if named is None:
            return
        level = getattr(logging, named) if named else level
        if not log.logger.isEnabledFor(level):
            return
        fields: dict[str, Any] = {**log.attempt_fields(), "seconds": round(seconds, 6)}
        if outcome.error is not None:
            fields["error_type"], fields["error"] = (
                type(outcome.error).__name__,
                safe_repr(outcome.error, 500),
            )
        if outcome.evidence:
            fields["evidence"] = {k: v for k, v in outcome.evidence.items() if k != "stacks"}
        fields["next"] = {
            "again": f"runs again in {step.delay:.1f} s",
            "dead": "is a dead letter",
            "back": "goes back to its queue",
            "done": "is done",
        }[step.settle]
        text = outcome.text if outcome.kind in (outcomes.FAILURE, outcomes.TIMEOUT) else ""
        if text:
            fields["traceback"] = text
        log.event(level, f"task.{outcome.kind}", **fields)


class Plan:
    """What becomes of an attempt; a handler may make it another one."""

    __slots__ = ("outcome", "settlement", "step")

    def __init__(self, outcome: Outcome, step: Step, settlement: Settlement) -> None:
        self.outcome, self.step, self.settlement = outcome, step, settlement

    def become(self, other: Plan) -> None:
        """Be that one from now on."""
        self.outcome, self.step, self.settlement = other.outcome, other.step, other.settlement


def _enter(stack: ExitStack, around: Callable[[Task], AbstractContextManager[Any]], task: Task) -> None:
    """Put a plugin's context around the attempt; neither its entry nor its exit can end the worker."""
    manager = around(task)
    manager.__enter__()
    stack.callback(log.tell, manager.__exit__, None, None, None)


_LEVELS = {
    outcomes.SUCCESS: logging.DEBUG,
    outcomes.FAILURE: logging.WARNING,
    outcomes.TIMEOUT: logging.WARNING,
    outcomes.FAIL: logging.ERROR,
    outcomes.POISON: logging.ERROR,
}
NO_RULES = Rules.of(WorkerConfig("none"))
