"""What becomes of an attempt after its work: handlers, settlement, and what is told to whom."""

from __future__ import annotations

import contextlib
import errno
import inspect
import json
import logging
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack
from typing import Any

from regiment import log
from regiment import outcome as outcomes
from regiment.config import WorkerConfig
from regiment.contracts import Back, Dead, Done, Park, Settlement
from regiment.errors import Control
from regiment.outcome import Outcome
from regiment.task import Task
from regiment_runner.shared import descendants, overdue, page
from regiment_runner.worker.admission import Bury, Cancelled, Decision, Wait
from regiment_runner.worker.asking import is_a
from regiment_runner.worker.burying import buried, id_of, tell_dead
from regiment_runner.worker.commit import Commit
from regiment_runner.worker.guarded import cancelled
from regiment_runner.worker.hooking import Answer, Call, Steps, hooked, limited, tell_all
from regiment_runner.worker.leaving import left
from regiment_runner.worker.planning import Plan, complain, plan_of, planned, unkept, unkept_in_words
from regiment_runner.worker.policy import Rules
from regiment_runner.worker.saying import measured, say, say_started, say_success
from regiment_runner.worker.trial import NOTHING, Left, Trial
from regiment_runner.worker.verdict import judge, safe_repr


def whole(attempt: Trial, work: Callable[[Task], Any], rules: Rules, guarded: Callable[..., Any]) -> Steps:
    """Everything around the work, as steps: whoever drives them decides whether to call or to await."""
    runtime, task, outcome = attempt.runtime, attempt.task, attempt.outcome
    assert task is not None
    if outcome is not None and unrun(outcome):
        yield from ending(attempt, outcome, rules)
        return
    if outcome is None and runtime.loud:
        say_started()
    with ExitStack() as stack:
        if runtime.around:
            with limited(attempt, overdue.OBSERVER):
                for around in runtime.around:
                    log.tell(_enter, stack, around, task)
        tell_all(attempt, runtime.started, task)
        if outcome is None and "pre_work" in runtime.handlers:
            error = yield from hooked(attempt, "pre_work", task)
            if error is not None:
                outcome = _judged(attempt, error, rules)
                outcome = cancelled(outcome) if attempt.struck else outcome
        if outcome is None:
            outcome, error = yield guarded, (attempt, work, rules)
            outcome = outcome or _judged(attempt, error, rules)
        yield from ending(attempt, outcome, rules)


def unrun(outcome: Outcome) -> bool:
    """True if it was cancelled before it ran: only `on_cancel` is told."""
    return outcome.kind == outcomes.CANCELLED and outcome.error is None


def ending(attempt: Trial, outcome: Outcome, rules: Rules) -> Steps:
    """What follows from the outcome is fixed first; then all are told; whatever they do, it is settled."""
    if attempt.runtime.forked:
        attempt.source.finish(attempt, Back(attempt.number, attempt.number))  # ends this process, before any handler
    _mark_ended(attempt)
    with _texts(attempt, outcome):
        try:
            _look_at(attempt, outcome)
        except BaseException as error:
            complain(attempt, "attempt.error", error)
        plan = plan_of(attempt, outcome, rules)
    _close_commit(attempt, plan)
    try:
        yield from _tell(attempt, plan, rules)
    except BaseException as error:
        complain(attempt, "attempt.error", error)
    if plan.outcome.kind in (outcomes.STOP, outcomes.RESPAWN):
        attempt.source.end(respawn=plan.outcome.kind == outcomes.RESPAWN)
    left = yield from _left(attempt, plan, rules)
    attempt.outcome, attempt.over = None, False
    attempt.runtime.tally.ended(attempt, plan.outcome.kind, plan.step.settle)
    returns = plan.outcome.kind == outcomes.RESPAWN and type(plan.settlement) is Back
    if not (returns and attempt.source.came_back(attempt)):
        _finish(attempt, plan.settlement, left)


def _finish(attempt: Trial, settlement: Settlement, left: Left) -> None:
    _met(attempt, settlement)
    if left is NOTHING:
        attempt.source.finish(attempt, settlement)
    else:
        attempt.source.finish(attempt, settlement, left)


def _met(attempt: Trial, settlement: Settlement) -> None:
    """Have the notice taken off that this end has met, when it is settled (O1)."""
    runtime, asked = attempt.runtime, attempt.runtime.cancelled
    if (asked or attempt.struck) and isinstance(settlement, (Done, Dead)) and runtime.notices is not None:
        task_id = attempt.task.id if attempt.task is not None else id_of(attempt.delivery.payload)
        if attempt.struck or task_id in asked:
            runtime.notices.ended(attempt.identity, attempt.number, task_id)


def _left(attempt: Trial, plan: Plan, rules: Rules) -> Generator[Call, Answer, Left]:
    """What it leaves behind. If a plugin raises, the attempt has failed with that; if one does again, it is a dead letter (E12)."""
    if attempt.made is None or plan.step.settle == "back":
        return NOTHING
    for again in (True,) if attempt.made is False else (False, True):
        try:
            return left(attempt, plan.outcome, plan.step.settle)
        except BaseException as error:
            wrong = error
        complain(attempt, "effects.error", wrong)
        dead = type(plan.settlement) is Dead
        last = again or dead
        plan.become(
            unkept(attempt, plan.outcome, wrong) if last else plan_of(attempt, _judged(attempt, wrong, rules), rules)
        )
        _close_commit(attempt, plan)
        if not dead:
            try:
                yield from _tell(attempt, plan, rules)
            except BaseException as error:
                complain(attempt, "attempt.error", error)
        if last or plan.step.settle == "back":
            break
    return NOTHING


def _close_commit(attempt: Trial, plan: Plan) -> None:
    """What is said to `commit` from now on would be done by nobody, unless the attempt is settled as done."""
    attempt.over = plan.step.settle != "done"
    if attempt.over and type(attempt.made) is Commit:
        attempt.made.close()


def _tell(attempt: Trial, plan: Plan, rules: Rules) -> Steps:
    """post_work, the handlers, the log, the observers. A control that a handler raises may replace the plan."""
    runtime, task = attempt.runtime, attempt.task
    attempt.outcome = outcome = plan.outcome
    if "post_work" in runtime.handlers and not unrun(outcome):
        yield from _hook(attempt, "post_work", task, outcome.kind == outcomes.SUCCESS, outcome.error)
    replaced = yield from _handler(attempt, outcome)
    if replaced is not None:
        replaced.evidence = outcome.evidence
        try:
            with _texts(attempt, replaced):
                plan.become(planned(attempt, replaced, rules))
        except BaseException as error:
            hook = outcomes.HANDLERS[outcome.kind]
            complain(attempt, "hook.error", error, hook=hook, next="what it asks for is left out")
        attempt.outcome = outcome = plan.outcome
    if plan.step.exhausted:
        yield from _hook(attempt, outcomes.HANDLERS[outcomes.MAX_RETRIES], task)
    seconds = (page.now() - attempt.started) / 1e9
    say(attempt, outcome, plan.step, seconds)
    if unrun(outcome):
        return
    tell_all(attempt, runtime.finished, task, outcome, seconds)
    if outcome.kind != outcomes.SUCCESS:
        tell_all(attempt, runtime.failed, task, outcome, seconds)
    if isinstance(plan.settlement, Dead):
        yield from _hook(attempt, "on_dead", task, json.loads(plan.settlement.reason))
        _tell_dead(attempt, plan.settlement)


def _judged(attempt: Trial, error: BaseException, rules: Rules) -> Outcome:
    """What an exception comes to. Its text is the user's code."""
    with limited(attempt, overdue.TEXT):
        return judge(error, rules)


def _texts(attempt: Trial, outcome: Outcome) -> AbstractContextManager[None]:
    """The limit of what asks an exception for its text, or a control for what it carries; none where there is neither."""
    return contextlib.nullcontext() if outcome.error is None else limited(attempt, overdue.TEXT)


def _tell_dead(attempt: Trial, letter: Dead) -> None:
    if attempt.runtime.died:
        with limited(attempt, overdue.OBSERVER):
            tell_dead(attempt.runtime, letter)


def _look_at(attempt: Trial, outcome: Outcome) -> None:
    """What an end asks for besides its handlers: evidence of a soft strike, and an end of what cannot go on."""
    error = outcome.error
    if outcome.kind == outcomes.TIMEOUT and outcome.evidence is None:
        reason = safe_repr(error, 500) if error is not None else ""
        outcome.evidence = {
            "kind": outcomes.TIMEOUT,
            "rung": "soft",
            "reason": reason,
            **measured(attempt),
        }
        if attempt.runtime.slots == 1:
            descendants.end_since(attempt.started)
    elif is_a(error, OSError) and getattr(error, "errno", None) in (errno.EMFILE, errno.ENFILE):
        log.event(
            logging.ERROR,
            "worker.exhausted",
            error=str(error),
            next="the worker is replaced",
            **log.attempt_fields(),
        )
        attempt.source.end(respawn=True)


def _handler(attempt: Trial, outcome: Outcome) -> Generator[Call, Answer, Outcome | None]:
    """Call the handler of the outcome; a control with which it replaces a failure is returned, judged."""
    name = outcomes.HANDLERS.get(outcome.kind)
    if name is None or name not in attempt.runtime.handlers:
        return None
    extra: tuple[Any, ...] = ()
    if name == "on_success":
        extra = (outcome.value,)
    elif name == "on_failure":
        extra = (outcome.error,)
    replaces = outcome.kind in (outcomes.FAILURE, outcomes.TIMEOUT)
    return (yield from _hook(attempt, name, attempt.task, *extra, replaces=replaces))


def _hook(attempt: Trial, name: str, *args: Any, replaces: bool = False) -> Generator[Call, Answer, Outcome | None]:
    """Call a hook if the user has it. Stop and respawn are obeyed, and leave the settlement as it is; another control
    is returned where it `replaces` the outcome; all else is logged.
    """
    if name not in attempt.runtime.handlers:
        return None
    if name == "on_stop":
        args = args[:1]
    error = yield from hooked(attempt, name, *args)
    if error is None:
        return None
    judged = _judged(attempt, error, NO_RULES)
    if judged.kind in (outcomes.STOP, outcomes.RESPAWN):
        attempt.source.end(respawn=judged.kind == outcomes.RESPAWN)
        log.event(logging.INFO, f"hook.{judged.kind}", hook=name, **log.attempt_fields())
    elif replaces and is_a(judged.error, Control):
        return judged
    else:
        complain(attempt, "hook.error", error, hook=name)
    return None


def _mark_ended(attempt: Trial) -> None:
    words, at = attempt.words, attempt.at
    if words[at] & 7 == page.STARTED:
        words[at] = attempt.number << 3 | page.ENDED


def succeeded(attempt: Trial) -> None:
    """A plain success, of which nobody is told but those who read the log."""
    if attempt.runtime.loud:
        say_success(attempt)
    if attempt.runtime.cancelled:
        _met(attempt, Done(attempt.number, attempt.number))
    attempt.task = None
    attempt.source.done(attempt)


def settle_unrun(attempt: Trial, decided: Decision) -> None:
    """Settle what neither runs nor is judged: `admission` has decided it."""
    queue = attempt.runtime.config.name
    if isinstance(decided, Wait):
        level = logging.WARNING if not attempt.delivery.parked else logging.INFO
        brake = attempt.runtime.brake
        delay = brake(decided.delay)
        if (more := brake.told()) is not None:
            held: dict[str, Any] = {"as_many_before": more} if more else {}
            log.event(level, "task.parked", reason=decided.text, next_in=round(delay, 1), queue=queue, **held)
        _mark_ended(attempt)
        attempt.runtime.tally.ended(attempt, "", "park")
        attempt.source.finish(attempt, Park(attempt.number, delay))
        return
    settles, outcome = "done", Outcome(outcomes.CANCELLED if isinstance(decided, Cancelled) else outcomes.EXPIRED)
    if isinstance(decided, Bury):
        settles, outcome = "dead", Outcome(decided.kind, text=decided.text, evidence=decided.evidence)
    _mark_ended(attempt)
    behind = NOTHING
    try:
        behind = NOTHING if attempt.made is None else left(attempt, outcome, settles)
    except BaseException as error:
        complain(attempt, "effects.error", error)
        text = f"{outcome.text or f'it was {outcome.kind}'}; {unkept_in_words(error)}"
        evidence = outcome.evidence or {}
        decided = Bury(outcomes.FAILURE if settles == "done" else outcome.kind, text, evidence)
    settles = "dead" if isinstance(decided, Bury) else settles
    attempt.runtime.tally.ended(attempt, outcome.kind, settles)
    if isinstance(decided, Bury):
        letter = buried(attempt.delivery, decided, queue)
        _tell_dead(attempt, letter)
        _finish(attempt, letter, behind)
    else:
        log.event(logging.INFO, f"task.{outcome.kind}", **log.attempt_fields())
        _finish(attempt, Done(attempt.number, attempt.number), behind)


def _enter(stack: ExitStack, around: Callable[[Task], AbstractContextManager[Any]], task: Task) -> None:
    """Put a plugin's context around the attempt; neither its entry nor its exit can end the worker."""
    manager = around(task)
    manager.__enter__()
    stack.callback(log.tell, manager.__exit__, None, None, None)


NO_RULES = Rules.of(WorkerConfig("none"))


def drive(steps: Steps) -> None:
    """Run steps by calling them; each is told what its call returned, or raised."""
    ended: tuple[Any, BaseException | None]
    with contextlib.suppress(StopIteration):
        call, args = next(steps)
        while True:
            try:
                ended = call(*args), None
            except BaseException as error:
                ended = None, error
            call, args = steps.send(ended)


async def adrive(steps: Steps) -> None:
    """Run steps on an event loop: what they return is awaited where it can be."""
    ended: tuple[Any, BaseException | None]
    with contextlib.suppress(StopIteration):
        call, args = next(steps)
        while True:
            try:
                value = call(*args)
                if inspect.isawaitable(value):
                    value = await value
                ended = value, None
            except BaseException as error:
                ended = None, error
            call, args = steps.send(ended)
