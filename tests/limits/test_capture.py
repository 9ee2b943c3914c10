"""Keys in `regiment_testing.capture`: as in a store, on its clock. Budgets hold nothing up there."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from regiment import Fail, Queue, Retry, current
from regiment_limits import Admitted, Later, Limits, Pool
from regiment_results import Results
from regiment_schedules import schedule
from regiment_schedules.testing import fire
from regiment_testing import Capture, capture

NOWHERE = "sqlite:////nowhere/at/all.db"
box = Queue(
    "limits-capture",
    max_retries=3,
    connector=NOWHERE,
    plugins=[Limits(at_once=1, pools={"one": Pool(at_once=1, waiting=1)})],
)
kept = Queue("limits-results", connector=NOWHERE, plugins=[Results(), Limits()])
ran: list[str] = []


@pytest.fixture
def held() -> Iterator[Capture]:
    ran.clear()
    with capture() as made:
        yield made


@box.task(pool="one", unique="{name}")
def work(name: str, text: str = "") -> None:
    ran.append(f"{name}{text}")
    if text == "push":
        again = work.options(clash="replace").push(name, " successor")
        assert again.new and again.did == "new"
        ran.append(work.push(name).state)
        last = work.options(clash="replace").push(name, " last")
        assert last.did == "replaced" and last.holder == again.id
    if text == "fail":
        raise Fail
    if text == "retry" and current().task.run_count == 0:  # type: ignore[union-attr]
        raise Retry(delay=10)
    if text == "later" and len(ran) == 1:
        raise Later(30)
    if text == "commit":
        current().commit.push(work, "other")
        current().commit.push(work, "other")


@box.task(unique="{name}", until="start")
def started(name: str) -> None:
    ran.append(str(started.push(name).new) if len(ran) < 2 else "end")


@kept.task(unique="{number}")
def double(number: int) -> int:
    return 2 * number


@schedule("0 9 * * *", name="daily", kwargs={"name": "tick"})
@box.task(unique="{name}")
def tick(name: str) -> None: ...


def test_a_key_that_is_held_leaves_a_push_out_and_names_the_holder(held: Capture) -> None:
    first, second = work.push("a"), work.push("a")
    assert isinstance(first, Admitted) and (first.new, first.did, first.state, first.holder) == (
        True,
        "new",
        "ready",
        "",
    )
    assert (second.new, second.did, second.state, second.id) == (False, "kept", "ready", first.id) and second.existed
    assert work.push_many([{"name": "a"}, {"name": "b"}, {"name": "b"}]) == 1
    held.drain()
    assert ran == ["a", "b"] and work.push("a").new


def test_budgets_hold_nothing_up(held: Capture) -> None:
    work.push_many({"name": str(number)} for number in range(5))
    assert held.drain() == 5


def test_the_holder_is_replaced_in_its_place(held: Capture) -> None:
    first = work.push("a")
    work.push("b")
    second = work.options(clash="replace").push("a", " new")
    assert (second.did, second.holder, second.new) == ("replaced", first.id, False) and second.id != first.id
    held.drain()
    assert ran == ["a new", "b"]


def test_what_is_put_off_starts_after_the_last_push_and_not_after_the_longest(held: Capture) -> None:
    later = work.options(clash="later", delay=30, longest=50)
    assert later.push("a").state == "delayed"
    held.advance(20)
    assert later.push("a", " 2").did == "replaced"
    assert held.advance(29) == 0
    later.push("a", " 3")
    assert held.advance(0.5) == 0 and held.advance(1) == 1 and ran == ["a 3"]


def test_a_key_is_free_when_its_task_is_done_or_dead_and_held_through_retries(held: Capture) -> None:
    work.push("a", "retry")
    held.advance(1)
    assert work.push("a").state == "delayed"
    held.drain()
    assert work.push("a", "fail").new
    held.drain()
    assert len(held.dead) == 1 and work.push("a").new


def test_a_key_until_the_start_is_free_while_its_task_runs(held: Capture) -> None:
    started.push("a")
    assert not started.push("a").new
    held.drain()
    assert ran == ["True", "True", "end"]


def test_a_key_of_so_many_seconds_outlives_its_task(held: Capture) -> None:
    minute = work.options(until=60)
    first = minute.push("a")
    held.drain()
    assert (minute.push("a").state, minute.push("a").id) == ("ended", first.id)
    held.advance(61)
    assert minute.push("a").new


def test_while_the_holder_runs_one_successor_waits_and_the_last_one_counts(held: Capture) -> None:
    work.push("a", "push")
    held.drain()
    assert ran == ["apush", "leased", "a last"]


def test_a_purge_frees_the_keys(held: Capture) -> None:
    work.options(until=60).push("a")
    with box.broker.connector() as store:
        store.purge(box.name)
    assert work.push("a").new


def test_what_a_task_commits_and_a_schedule_pushes_is_unique_as_well(held: Capture) -> None:
    work.push("a", "commit")
    held.advance(0)
    assert ran == ["acommit", "other"]
    fire(box, "daily", at=datetime(2026, 1, 1, 9, tzinfo=UTC))
    fire(box, "daily", at=datetime(2026, 1, 2, 9, tzinfo=UTC))
    assert len(held.waiting) == 1


def test_later_puts_its_task_off_and_counts_as_no_run(held: Capture) -> None:
    work.push("a", "later")
    assert held.advance(1) == 1 and held.advance(20) == 0
    assert held.waiting[0].task.run_count == 0
    held.drain()
    assert ran == ["alater", "alater"]


def test_a_push_that_was_left_out_answers_with_the_handle_of_the_holder(held: Capture) -> None:
    first, second = double.push(4), double.push(4)
    assert first.new and not second.new and second.id == first.id  # type: ignore[attr-defined]
    held.drain()
    assert second.result(0) == 8  # type: ignore[attr-defined]
