"""What the log says of an attempt: that it has started, how it ended and what follows, and what it has used."""

from __future__ import annotations

import logging
from typing import Any

from regiment import log
from regiment import outcome as outcomes
from regiment.outcome import Outcome
from regiment_runner.shared import logs, overdue, page, procfs
from regiment_runner.worker.asking import name_of
from regiment_runner.worker.guarded import DONE
from regiment_runner.worker.hooking import limited
from regiment_runner.worker.policy import Step
from regiment_runner.worker.trial import Trial
from regiment_runner.worker.verdict import safe_repr

_LEVELS = {
    outcomes.SUCCESS: logging.DEBUG,
    outcomes.FAILURE: logging.WARNING,
    outcomes.TIMEOUT: logging.WARNING,
    outcomes.FAIL: logging.ERROR,
    outcomes.POISON: logging.ERROR,
}


def say_started() -> None:
    """Log the start of the task that runs now."""
    log.event(logging.DEBUG, "task.started", **log.attempt_fields())


def say_success(attempt: Trial) -> None:
    """Log a plain success."""
    say(attempt, DONE, Step("done"), (page.now() - attempt.started) / 1e9)


def say(attempt: Trial, outcome: Outcome, step: Step, seconds: float) -> None:
    """Log an end. A failing task is loud: its traceback, and what happens next."""
    level = _LEVELS.get(outcome.kind, logging.INFO)
    if step.settle == "dead":
        level = logging.ERROR
    named = attempt.runtime.levels.get(f"task.{outcome.kind}", "")
    if named is None:
        return
    level = getattr(logging, named) if named else level
    if not log.logger.isEnabledFor(level):
        if outcome.kind == outcomes.SUCCESS and logs.for_people:
            _now_and_then(seconds)
        return
    fields: dict[str, Any] = {**log.attempt_fields(), "seconds": round(seconds, 6)}
    if outcome.error is not None:
        with limited(attempt, overdue.TEXT):
            fields["error_type"], fields["error"] = name_of(outcome.error), safe_repr(outcome.error, 500)
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


_lines = log.Throttle(0.1)


def _now_and_then(seconds: float) -> None:
    """A line about a success for who reads along: at most ten a second, with how many there were besides."""
    if (more := _lines()) is not None:
        known = log.attempt_fields()
        fields: dict[str, Any] = {name: known.get(name) for name in ("task", "id") if known.get(name)}
        if more:
            fields["besides"] = f"{more:,} more"
        log.event(logging.INFO, "task.success", None, **fields, seconds=round(seconds, 3))


def measured(attempt: Trial) -> dict[str, Any]:
    """Seconds since the start, and resident memory (bytes) and CPU seconds of this process."""
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = round((page.now() - attempt.started) / 1e9, 3)
    return {
        "seconds": seconds,
        "rss": procfs.resident(),
        "cpu": round(used.ru_utime + used.ru_stime, 2),
    }
