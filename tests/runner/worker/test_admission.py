"""The table of admissions: whether a delivery runs, is judged, waits or is dead, before and after its decoding."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.tags import Flows
from regiment import outcome as outcomes
from regiment.config import WorkerConfig
from regiment.contracts import Delivery
from regiment.errors import DecodeError, Forged
from regiment.task import Task
from regiment_runner.worker.admission import EXPIRED, RUN, Bury, Judge, Wait, admit, beyond
from regiment_runner.worker.burying import buried
from regiment_runner.worker.verdict import was_struck

LATE = json.dumps({"kind": "timeout", "reason": "killed at its hard time limit"}).encode()
STRUCK = json.dumps({"kind": "cancelled", "reason": "cancelled, and it did not end within its grace"}).encode()
CRASH = json.dumps({"kind": "crash", "reason": "killed by SIGSEGV"}).encode()


def task(**others: Any) -> Task:
    return Task("t1", "q", "act", {}, 1.0, **others)


def delivery(count: int = 0, note: bytes | None = None, parked: float = 0.0) -> Delivery:
    return Delivery(1, b"never looked at", count, note, parked)


def config(**settings: Any) -> WorkerConfig:
    return WorkerConfig("q", **{"max_deliveries": 3, "unknown_for": 100, **settings})


ONCE = {"delivery": "at_most_once"}


@pytest.mark.parametrize(
    ("settings", "count", "dead"),
    [({}, 0, False), ({}, 3, False), ({}, 4, True), (ONCE, 1, False), (ONCE, 2, True)],
)
def test_beyond_its_runs_and_one_judgement_a_delivery_is_dead_undecoded(settings: Any, count: int, dead: bool) -> None:
    found = beyond(delivery(count, CRASH), config(**settings))
    assert (found is not None) == dead
    if found is not None:
        assert found.kind == outcomes.POISON
        assert found.text == (
            f"ended its worker {count} times, the last time while its end was to be judged; "
            "the last reason that is known: killed by SIGSEGV"
        )


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (delivery(1, CRASH), "ended its worker once: killed by SIGSEGV"),
        (delivery(1), "ended its worker once: its host was lost"),
        (delivery(3, CRASH), "ended its worker 3 times; the last reason that is known: killed by SIGSEGV"),
        (delivery(3), "ended its worker 3 times; no reason is known: its host was lost, each time"),
    ],
)
def test_a_letter_of_poison_gives_one_note_for_the_last_end_only_where_there_was_one(one: Delivery, words: str) -> None:
    """A host that is lost leaves no note, and the one of an earlier end stays: it is not passed off as the reason."""
    for found in (task(), DecodeError("torn")):
        decided = admit(one, found, config(max_deliveries=one.count), 0.0)
        assert isinstance(decided, (Judge, Bury))
        assert (decided.outcome if isinstance(decided, Judge) else decided).text == words


@pytest.mark.parametrize(
    ("one", "settings", "kind"),
    [
        (delivery(), {}, None),
        (delivery(2, CRASH), {}, None),
        (delivery(3, CRASH), {}, outcomes.POISON),
        (delivery(1, CRASH), ONCE, outcomes.POISON),
        (delivery(1, LATE), {}, outcomes.TIMEOUT),
        (delivery(3, LATE), {}, outcomes.TIMEOUT),
        (delivery(1, LATE), ONCE, outcomes.TIMEOUT),
        (delivery(1, b"[" * 100_000), {}, None),
        (delivery(3, b"no JSON"), {}, outcomes.POISON),
    ],
)
def test_what_has_used_up_its_runs_or_was_struck_is_judged_and_does_not_run(
    one: Delivery, settings: Any, kind: str | None
) -> None:
    found = admit(one, task(), config(**settings), 0.0)
    if kind is None:
        assert found is RUN
    else:
        assert isinstance(found, Judge) and found.outcome.kind == kind


@pytest.mark.parametrize(
    ("error", "one", "kind"),
    [
        (DecodeError("torn"), delivery(), outcomes.UNREADABLE),
        (DecodeError("torn"), delivery(3, CRASH), outcomes.POISON),
        (Forged("no key"), delivery(), "forged"),
        (DecodeError("newer", parkable=True), delivery(parked=100), outcomes.UNKNOWN),
    ],
)
def test_what_cannot_be_decoded_is_dead_with_the_reason(error: DecodeError, one: Delivery, kind: str) -> None:
    found = admit(one, error, config(), 0.0)
    assert isinstance(found, Bury) and found.kind == kind


@pytest.mark.parametrize(("parked", "delay"), [(0, 1), (1, 1), (8, 8), (70, 30), (99.99, 0.05)])
def test_what_another_release_may_know_is_parked_longer_each_time(parked: float, delay: float) -> None:
    for found in (
        admit(delivery(parked=parked), DecodeError("newer", parkable=True), config(), 0.0),
        admit(delivery(parked=parked), task(), config(), 0.0, known=False),
    ):
        assert isinstance(found, Wait)
        assert found.delay == pytest.approx(delay)


def test_a_letter_of_a_name_that_nobody_knows_bears_that_name() -> None:
    one = delivery(parked=100)
    found = admit(one, task(), config(), 0.0, known=False)
    assert isinstance(found, Bury) and (found.kind, found.name) == (outcomes.UNKNOWN, "act")
    assert json.loads(buried(one, found, "q").reason)["name"] == "act"


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("one", [delivery(), delivery(parked=1e6), delivery(3, CRASH), delivery(1, LATE)])
def test_tags_that_no_plugin_here_understands_park_a_task_without_end_whatever_is_known_of_it(
    one: Delivery, known: bool
) -> None:
    tagged = task(tags={"flows": 1, "audit": 2}, expires=5.0)
    found = admit(one, tagged, config(plugins=[Flows()]), 10.0, known)
    assert isinstance(found, Wait) and 1 <= found.delay <= 60
    assert found.text.startswith("it has tags for audit, which no plugin of the queue 'q' understands here")
    assert admit(delivery(), task(tags={"flows": 1}), config(plugins=[Flows()]), 10.0) is RUN


def test_what_has_expired_is_done_without_a_run_or_a_judgement() -> None:
    assert admit(delivery(1, LATE), task(expires=5.0), config(), 5.0) is EXPIRED
    assert admit(delivery(), task(expires=5.0), config(), 4.9) is RUN


@pytest.mark.parametrize("settings", [{}, ONCE])
def test_what_was_killed_because_it_was_cancelled_is_judged_so_and_never_runs_again(settings: Any) -> None:
    decided = admit(delivery(1, STRUCK), task(), config(**settings), 0.0)
    assert isinstance(decided, Judge) and decided.outcome.kind == outcomes.CANCELLED
    assert str(decided.outcome.error) == "cancelled, and it did not end within its grace"
    assert was_struck(STRUCK) and not was_struck(CRASH)
