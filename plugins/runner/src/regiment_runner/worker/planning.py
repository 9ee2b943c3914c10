"""What becomes of an attempt: from its outcome to the settlement that its store is told, and what a handler makes of it."""

from __future__ import annotations

import contextlib
import json
import logging
from typing import Any

from regiment import log
from regiment import outcome as outcomes
from regiment.contracts import Again, Back, Dead, Done, Settlement
from regiment.outcome import Outcome
from regiment.task import Task
from regiment_runner.worker import policy
from regiment_runner.worker.burying import id_of
from regiment_runner.worker.policy import Rules, Step
from regiment_runner.worker.trial import Trial
from regiment_runner.worker.verdict import notes_of, reason_of, safe_repr, trace

UNKEPT = "what it leaves behind cannot be made"


class Plan:
    """What becomes of an attempt; a handler may make it another one."""

    __slots__ = ("outcome", "settlement", "step")

    def __init__(self, outcome: Outcome, step: Step, settlement: Settlement) -> None:
        self.outcome, self.step, self.settlement = outcome, step, settlement

    def become(self, other: Plan) -> None:
        """Be that one from now on."""
        self.outcome, self.step, self.settlement = other.outcome, other.step, other.settlement


def plan_of(attempt: Trial, outcome: Outcome, rules: Rules) -> Plan:
    """The only place where what a task gave (a control, other arguments, its own exception) becomes what is written.

    What cannot be written is a failure that says so, of a delivery that keeps its own payload.
    """
    try:
        return planned(attempt, outcome, rules)
    except BaseException as error:
        wrong = error
    complain(attempt, "task.unwritable", wrong, next="it is settled with its own payload")
    failed = Outcome(outcomes.FAILURE, error=wrong, text=trace(wrong), evidence=outcome.evidence)
    try:
        return planned(attempt, failed, rules)
    except BaseException:
        reason = json.dumps(
            {
                "kind": outcomes.FAILURE,
                "name": "",
                "queue": attempt.runtime.config.name,
                "error": f"{safe_repr(outcome.error) if outcome.error else outcome.kind}; {safe_repr(wrong)}",
            }
        )
        return Plan(
            failed,
            Step("dead"),
            Dead(attempt.number, id_of(attempt.delivery.payload), reason.encode()),
        )


def planned(attempt: Trial, outcome: Outcome, rules: Rules) -> Plan:
    number = attempt.number
    if outcome.kind == outcomes.SUCCESS:
        return Plan(outcome, Step("done"), Done(number, number))
    if outcome.kind == outcomes.INTERRUPTED and attempt.runtime.config.delivery == "at_most_once":
        text = "was interrupted, and runs at most once"
        outcome = Outcome(outcomes.POISON, error=outcome.error, text=text)
    task = _delivered(attempt)
    step = policy.next_step(outcome, task.run_count, rules)
    if step.settle == "done":
        return Plan(outcome, step, Done(number, number))
    if step.settle == "back":
        return Plan(outcome, step, Back(number, number))
    task.run_count += step.counts
    if step.settle == "dead":
        return Plan(outcome, step, Dead(number, task.id, reason_of(outcome, task)))
    return _again(attempt, outcome, step, task)


def _again(attempt: Trial, outcome: Outcome, step: Step, task: Task) -> Plan:
    """The next run: of the delivered payload with its runs counted, or of the arguments that a control names."""
    asked = policy.control_kwargs(outcome.error)
    if asked is not None:
        task.kwargs = asked
        payload = attempt.runtime.codec.encode(task)
    elif step.counts:
        try:
            payload = attempt.runtime.codec.encode(task)
        except Exception as error:
            return _unwritable(attempt, outcome, task, error)
    else:
        payload = attempt.delivery.payload
    return Plan(outcome, step, Again(attempt.number, payload, step.delay, step.priority))


def _unwritable(attempt: Trial, outcome: Outcome, task: Task, error: Exception) -> Plan:
    """It was read and cannot be written again: it keeps the bytes that came, and its own reason."""
    complain(attempt, "task.unwritable", error, next="is a dead letter")
    text = f"it cannot run again, for its message cannot be written: {safe_repr(error, 500)}"
    dead = Dead(attempt.number, task.id, reason_of(outcome, task, text))
    return Plan(outcome, Step("dead", counts=True), dead)


def unkept(attempt: Trial, outcome: Outcome, error: BaseException) -> Plan:
    """What it leaves behind cannot be made, not even of its failure: it is dead, and leaves nothing (E12)."""
    task = _delivered(attempt)
    task.run_count += outcome.kind in outcomes.COUNTED
    reason = reason_of(outcome, task, unkept_in_words(error))
    return Plan(outcome, Step("dead", counts=True), Dead(attempt.number, task.id, reason))


def unkept_in_words(error: BaseException) -> str:
    """Why it cannot be made, and whose fault that is, as far as the error says so."""
    return "; ".join([f"{UNKEPT}: {safe_repr(error, 500)}", *notes_of(error)])


def _delivered(attempt: Trial) -> Task:
    """The task as it came, decoded anew: its run may have changed every part of the one that it was given."""
    runtime, delivery = attempt.runtime, attempt.delivery
    return runtime.decode(delivery.payload, runtime.queue, delivery.count)


def complain(attempt: Trial, event: str, error: BaseException, **fields: Any) -> None:
    """Say what went wrong in an ending; a handler of the log that fails changes nothing either."""
    with contextlib.suppress(Exception):
        log.event(logging.ERROR, event, exc_info=error, **{**log.attempt_fields(), **fields})
