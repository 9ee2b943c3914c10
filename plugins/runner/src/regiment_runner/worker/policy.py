"""What becomes of a task after its attempt: pure functions from outcome and rules to the next step."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from regiment import outcome as outcomes
from regiment.bounds import seconds, timestamp
from regiment.config import Backoff, WorkerConfig
from regiment.errors import Control
from regiment.outcome import Outcome
from regiment.task import PRIORITIES
from regiment_runner.worker.asking import is_a

LONGEST_DELAY = 100 * 366 * 86400.0
"""Seconds until the latest next run that may be asked for: 100 years."""


class Rules(NamedTuple):
    """What policy needs to know of one kind of task; limits in seconds."""

    soft: float | None
    hard: float | None
    max_retries: int | None
    retry_on: tuple[type[BaseException], ...]
    dead_on: tuple[type[BaseException], ...]
    backoff: Backoff
    limited: bool
    """Whether there is a limit at all."""
    hook: tuple[int, int] | None = None
    """Nanoseconds after which a hook is slow, and for how many more it may run; None: for ever."""

    @classmethod
    def of(cls, config: WorkerConfig) -> Rules:
        """The rules that a worker's configuration gives to all its tasks."""
        soft, hard = config.timeouts.strikes()
        return cls(
            soft,
            hard,
            config.max_retries,
            tuple(config.retry_on),
            tuple(config.dead_on),
            config.backoff,
            soft is not None or hard is not None,
            hook_limit(config),
        )


def hook_limit(config: WorkerConfig) -> tuple[int, int] | None:
    """The limit of each hook and its grace, in nanoseconds."""
    if config.hook_limit is None:
        return None
    grace = config.timeouts.grace
    return int((config.hook_limit + grace) * 1e9), int(grace * 1e9)


class Step(NamedTuple):
    """What to do with the delivery: `done`, `again`, `back` or `dead`."""

    settle: str
    delay: float = 0.0
    priority: int | None = None
    counts: bool = False
    """Whether the attempt counts as a run."""
    exhausted: bool = False
    """Whether it is dead because its retries ran out: `on_max_retries` is told."""


def next_step(outcome: Outcome, run_count: int, rules: Rules) -> Step:
    """The table of `docs/architecture.md`, "Outcome, handler, settlement"."""
    kind = outcome.kind
    if kind in (outcomes.SUCCESS, outcomes.EXPIRED, outcomes.CANCELLED):
        return Step("done")
    if kind == outcomes.RETRY:
        return _retried(run_count, rules, outcome.error)
    if kind == outcomes.REQUEUE:
        return Step("again", control_delay(outcome.error), control_priority(outcome.error))
    if kind in (outcomes.STOP, outcomes.RESPAWN):
        return Step("done" if getattr(outcome.error, "done", False) else "back")
    if kind == outcomes.INTERRUPTED:
        return Step("back")
    if kind == outcomes.TIMEOUT and rules.retry_on:
        return _retried(run_count, rules)
    if kind == outcomes.FAILURE and is_a(outcome.error, rules.retry_on):
        return _retried(run_count, rules)
    return Step("dead", counts=kind in outcomes.COUNTED)


def _retried(run_count: int, rules: Rules, control: BaseException | None = None) -> Step:
    asked, priority = control_delay(control), control_priority(control)  # wrong ones raise, always
    if rules.max_retries is not None and run_count >= rules.max_retries:
        # Nothing can run out of retries that never had any, unless it asked for one.
        return Step("dead", counts=True, exhausted=rules.max_retries > 0 or control is not None)
    if control is not None and _has_time(control):
        return Step("again", asked, priority, counts=True)
    delay = backoff_delay(rules.backoff, run_count + 1)
    return Step("again", delay, priority, counts=True)


def _has_time(control: BaseException) -> bool:
    return getattr(control, "delay", None) is not None or getattr(control, "at", None) is not None


def backoff_delay(backoff: Backoff, retry: int, chance: Callable[[], float] = random.random) -> float:
    """Seconds before the `retry`-th retry (from 1); with jitter between half of it and all of it."""
    delay, factor, steps = min(backoff.limit, backoff.first), float(backoff.factor), retry - 1
    if delay > 0 and factor > 1:
        # Capped before it is computed: a power may be larger than any number, also one whose product is small.
        if steps >= (math.log(backoff.limit) - math.log(delay)) / math.log(factor):
            delay = backoff.limit
        else:
            half = steps // 2
            delay = min(backoff.limit, delay * factor**half * factor ** (steps - half))
    return delay * (0.5 + chance() / 2) if backoff.jitter else delay


def control_delay(control: BaseException | None) -> float:
    """Seconds that a control asks for, 0 if it names no time."""
    if not is_a(control, Control):
        return 0.0
    if control.delay is not None:
        delay = seconds(control.delay)
    elif control.at is not None:
        delay = timestamp(control.at) - time.time()
    else:
        return 0.0
    if not delay <= LONGEST_DELAY:
        raise ValueError(f"the next run is asked for in {delay:g} s; expected at most 100 years")
    return max(0.0, delay)


def control_kwargs(control: BaseException | None) -> dict[str, Any] | None:
    """The arguments that a control asks for; None keeps those that were delivered."""
    return control.kwargs if is_a(control, Control) else None


def control_priority(control: BaseException | None) -> int | None:
    """The priority that a control asks for; None keeps the old one."""
    name = getattr(control, "priority", None)
    return None if name is None else priority_number(name)


def priority_number(name: Any) -> int:
    """The number of a priority's name; ValueError for a name that is none."""
    try:
        return PRIORITIES[name]
    except (KeyError, TypeError):
        raise ValueError(f"priority is {name!r}; expected {', '.join(PRIORITIES)}") from None
