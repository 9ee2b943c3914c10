"""The table of outcomes: what becomes of a delivery after its attempt."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from regiment import outcome as outcomes
from regiment.bounds import seconds, timestamp
from regiment.config import Backoff, WorkerConfig
from regiment.errors import Fail, Requeue, Respawn, Retry, Stop, TaskTimeout
from regiment.outcome import Outcome
from regiment_runner.worker.policy import Rules, backoff_delay, next_step


def rules(**settings: Any) -> Rules:
    settings.setdefault("backoff", Backoff(first=1, factor=2, limit=600, jitter=False))
    return Rules.of(WorkerConfig("q", **settings))


@pytest.mark.parametrize(
    ("kind", "error", "settle", "counts"),
    [
        (outcomes.SUCCESS, None, "done", False),
        (outcomes.EXPIRED, None, "done", False),
        (outcomes.CANCELLED, None, "done", False),
        (outcomes.FAILURE, ValueError(), "dead", True),
        (outcomes.TIMEOUT, TaskTimeout(), "dead", True),
        (outcomes.RETRY, Retry(), "dead", True),
        (outcomes.FAIL, Fail(), "dead", True),
        (outcomes.POISON, None, "dead", False),
        (outcomes.REQUEUE, Requeue(), "again", False),
        (outcomes.STOP, Stop(), "back", False),
        (outcomes.RESPAWN, Respawn(), "back", False),
        (outcomes.STOP, Stop(done=True), "done", False),
        (outcomes.RESPAWN, Respawn(done=True), "done", False),
        (outcomes.INTERRUPTED, None, "back", False),
    ],
)
def test_without_retries_each_outcome_has_its_settlement(
    kind: str, error: BaseException | None, settle: str, counts: bool
) -> None:
    step = next_step(Outcome(kind, error=error), 0, rules())
    assert (step.settle, step.counts) == (settle, counts)


@pytest.mark.parametrize("kind", [outcomes.FAILURE, outcomes.TIMEOUT, outcomes.RETRY])
def test_retries_asked_for_and_automatic_ones_are_counted_together(kind: str) -> None:
    error = {
        outcomes.FAILURE: ValueError(),
        outcomes.TIMEOUT: TaskTimeout(),
        outcomes.RETRY: Retry(),
    }
    steps = [next_step(Outcome(kind, error=error[kind]), runs, rules(max_retries=2)) for runs in range(3)]
    assert [step.settle for step in steps] == ["again", "again", "dead"]
    assert [step.exhausted for step in steps] == [False, False, True]
    assert [step.delay for step in steps[:2]] == [1, 2]


def test_none_retries_for_ever() -> None:
    step = next_step(Outcome(outcomes.FAILURE, error=ValueError()), 10**6, rules(max_retries=None))
    assert (step.settle, step.delay) == ("again", 600)


def test_what_never_had_a_retry_has_not_run_out_of_them_unless_it_asked_for_one() -> None:
    assert not next_step(Outcome(outcomes.FAILURE, error=ValueError()), 0, rules()).exhausted
    assert next_step(Outcome(outcomes.RETRY, error=Retry()), 0, rules()).exhausted


def test_only_what_retry_on_names_is_retried_by_itself() -> None:
    some = rules(max_retries=3, retry_on=(OSError,))
    assert next_step(Outcome(outcomes.FAILURE, error=ConnectionError()), 0, some).settle == "again"
    assert next_step(Outcome(outcomes.FAILURE, error=ValueError()), 0, some).settle == "dead"
    assert next_step(Outcome(outcomes.FAILURE, error=SystemExit()), 0, rules(max_retries=3)).settle == "dead"
    none = rules(max_retries=3, retry_on=())
    assert next_step(Outcome(outcomes.TIMEOUT, error=TaskTimeout()), 0, none).settle == "dead"
    assert next_step(Outcome(outcomes.RETRY, error=Retry()), 0, none).settle == "again"


def test_a_control_says_when_and_with_which_priority() -> None:
    asked = next_step(Outcome(outcomes.RETRY, error=Retry(delay=30, priority="HIGH")), 0, rules(max_retries=1))
    assert (asked.settle, asked.delay, asked.priority) == ("again", 30, 0)
    later = datetime.now(UTC) + timedelta(seconds=60)
    step = next_step(Outcome(outcomes.REQUEUE, error=Requeue(at=later)), 0, rules())
    assert 59 < step.delay <= 60
    past = next_step(Outcome(outcomes.REQUEUE, error=Requeue(at=time.time() - 60)), 0, rules())
    assert past.delay == 0


def test_jitter_stays_between_half_and_all_of_the_delay() -> None:
    backoff = Backoff(first=4, factor=2, limit=600, jitter=True)
    assert backoff_delay(backoff, 1, lambda: 0.0) == 2
    assert backoff_delay(backoff, 1, lambda: 1.0) == 4
    assert backoff_delay(Backoff(first=1, factor=2, limit=600, jitter=False), 10**9) == 600


@pytest.mark.parametrize(
    ("call", "value", "text"),
    [
        (seconds, "30", "a delay is '30'; expected seconds or a timedelta"),
        (seconds, True, "a delay is True; expected seconds or a timedelta"),
        (seconds, float("nan"), "a delay is nan; expected seconds or a timedelta"),
        (timestamp, "noon", "at is 'noon'; expected an aware datetime or seconds since the epoch"),
    ],
)
def test_times_that_are_none_are_refused_in_words(call: object, value: object, text: str) -> None:
    with pytest.raises(TypeError) as caught:
        call(value)  # type: ignore[operator]
    assert str(caught.value) == text


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="without a time zone"):
        timestamp(datetime(2030, 1, 1))
