"""Rows 9 to 11 and 19 of the fault matrix: what hangs is ended in time, and has exactly one outcome."""

from __future__ import annotations

import random

import pytest

from harness.each_store import on_each_store
from harness.ledger import ONE_OF
from harness.scale import seeds, size
from harness.site import Site
from harness.wait import alive, eventually, took

TENTH = "timeouts=Timeouts(0.3, grace=0.3), recheck=0.2"
"""Limit and grace of the rows, tenths of seconds instead of seconds."""


@pytest.mark.fault(9)
@pytest.mark.fault(10)
@on_each_store
@pytest.mark.parametrize("how", ["endless", "deaf", "regex"])
def test_what_cannot_be_stopped_from_inside_is_killed_in_time_and_is_one_timeout(site: Site, how: str) -> None:
    site.app(TENTH, hooks=True)
    tree = site.tree(workers=1)
    (old,) = tree.workers()
    n = site.push(how)
    start = site.started(n).starts[n][0]
    if how == "regex":  # the soft strike interrupts the matching, which checks for signals, in the main thread
        site.until(lambda books: books.told[n], 5)
        assert alive(old)
    else:
        eventually(lambda: not alive(old), 0.3 + 0.3 + 1.0, "the worker was killed")
        tree.ready(1, within=5)
    books = site.until(lambda books: len(books.told[n]) >= 2, 5)
    site.store.quiet(5)
    books = site.books()
    assert [told.outcome for told in books.told[n]] == ["timeout", "dead"]
    assert len(books.starts[n]) == 1
    assert took(start.at, books.told[n][0].at) < 5
    reason = site.store.dead()[n]
    assert reason["kind"] == "timeout"
    if how != "regex":
        assert reason["evidence"]["reason"] == "killed at its hard time limit"
        assert how in reason["evidence"]["stacks"], "the stacks name the function that hung"
    after = site.push()
    site.ended(after)


@pytest.mark.fault(9)
def test_a_task_that_hangs_is_gone_within_limit_grace_and_half_a_second(site: Site) -> None:
    site.app(TENTH)
    tree = site.tree(workers=1)
    for _ in range(size(3, 20)):
        (old,) = tree.ready(1)
        n = site.push("deaf")
        site.started(n)
        eventually(lambda: not alive(old), 0.3 + 0.3 + 0.5, "the task is gone")
        site.store.quiet(5)
        assert site.store.dead()[n]["kind"] == "timeout"


@pytest.mark.fault(9)
@on_each_store
def test_a_worker_killed_for_its_task_is_replaced_within_a_second_and_its_batch_mates_run_uncounted(
    site: Site,
) -> None:
    site.app(TENTH + ", tasks_per_transaction=20")
    tree = site.tree(workers=1)
    site.producer.push_many([{}], "deaf")
    mates = site.push_many([{}] * 19)
    books = site.ended(*mates, within=10)
    assert all(books.starts[n][0].delivery == 0 for n in mates)
    crashed = tree.event("worker.crashed")
    assert crashed["reason"] == "killed for a task past its limit"
    site.settle(5)


@pytest.mark.fault(11)
@pytest.mark.parametrize("seed", seeds(1))
@pytest.mark.parametrize("ending", ["returns", "raises", "bare"])
def test_a_soft_strike_at_the_moment_of_the_end_gives_one_outcome_and_the_worker_lives(
    site: Site, seed: int, ending: str
) -> None:
    """Task length = limit ± 1 ms, switch interval 1 µs. `bare`: no hooks, so the shortest path of a success."""
    chance = random.Random(seed)
    site.app(
        "timeouts=Timeouts(0.02, grace=5), tasks_per_transaction=10",
        hooks=ending != "bare",
        body="""
sys.setswitchinterval(1e-6)
threading.Thread(target=lambda: [sum(range(1000)) for _ in iter(int, 1)], daemon=True).start()

@work.task
def near(n, seconds, raises):
    limit = time.monotonic() + seconds
    begin(n)
    while time.monotonic() < limit:
        pass
    if raises:
        raise ValueError("at the limit")
""",
    )
    tree = site.tree(workers=2)
    pids = tree.workers()
    count = size(150, 2500)
    numbers = site.push_many(
        [{"seconds": 0.02 + chance.uniform(-0.001, 0.001), "raises": ending == "raises"} for _ in range(count)],
        "near",
    )
    site.store.quiet(30 + count / 20)
    books, dead = site.books(), site.store.dead()
    assert tree.workers() == pids, tree.text()[-3000:]
    assert books.extra_starts() == 0
    kinds = {reason["kind"] for reason in dead.values()}
    assert kinds <= {"timeout", "failure"}
    if ending != "bare":
        for n in numbers:
            told = [one.outcome for one in books.told[n] if one.outcome in ONE_OF]
            assert len(told) == 1, (n, books.told[n])
            assert (told == ["success"]) == (n not in dead)
    assert not tree.events("worker.crashed")


@pytest.mark.fault(11)
@pytest.mark.parametrize("seed", seeds(1))
@pytest.mark.parametrize("hooks", [True, False])
def test_a_hard_strike_at_the_moment_of_the_end_gives_one_outcome_and_hits_no_other_task(
    site: Site, seed: int, hooks: bool
) -> None:
    """The limit is hard only where the soft one is not reached: soft and hard are the same moment."""
    chance = random.Random(seed)
    site.app(
        "timeouts=Timeouts(0.05, grace=0.000001), tasks_per_transaction=5, recheck=0.1, lease=10",
        hooks=hooks,
        body="""
@work.task
def near(n, seconds):
    limit = time.monotonic() + seconds
    begin(n)
    try:
        while time.monotonic() < limit:
            pass
    except BaseException:
        while time.monotonic() < limit:
            pass
    end(n)
""",
    )
    site.tree(workers=2)
    count = size(24, 400)
    lengths = [0.05 + chance.uniform(-0.001, 0.005) for _ in range(count)]
    numbers = site.push_many([{"seconds": length} for length in lengths], "near")
    short = site.push_many([{}] * count)
    site.store.quiet(30 + count)
    books, dead = site.books(), site.store.dead()
    books.check(dead)
    assert not set(short) & dead.keys(), "a strike hit a task that was in time"
    if hooks:
        for n in numbers:
            told = [one.outcome for one in books.told[n] if one.outcome in ONE_OF]
            assert len(told) == 1, (n, books.told[n])
            assert told == ["timeout" if n in dead else "success"]


@pytest.mark.fault(19)
def test_what_would_end_a_plain_program_is_a_failure_and_never_a_success(site: Site) -> None:
    site.app("tasks_per_transaction=5", hooks=True)
    tree = site.tree(workers=1)
    pids = tree.workers()
    numbers = {how: site.push("leave", how=how) for how in ("exit", "interrupt", "generator")}
    site.store.quiet(10)
    dead, books = site.store.dead(), site.books()
    assert {dead[numbers[how]]["error_type"] for how in numbers} == {
        "SystemExit",
        "KeyboardInterrupt",
        "GeneratorExit",
    }
    books.check_once()
    assert all(told[0].outcome == "failure" for told in books.told.values())
    assert tree.workers() == pids


@pytest.mark.fault(19)
def test_a_task_that_aborts_its_process_is_a_crash_with_its_signal_in_words(site: Site) -> None:
    site.app("max_deliveries=2, poison_delays=(0, 0.1)", hooks=True)
    site.tree(workers=1)
    n = site.push("crash", how="abort")
    site.store.quiet(15)
    reason = site.store.dead()[n]
    assert reason["kind"] == "poison"
    assert "killed by SIGABRT" in reason["error"]
    assert [told.outcome for told in site.books().told[n]] == ["dead"]
