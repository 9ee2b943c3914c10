"""Rows 1 to 5 of the fault matrix: a worker is killed or an answer is lost, and only what had started runs again."""

from __future__ import annotations

import os
import random
import signal
import time

import pytest

from harness.each_store import on_each_store
from harness.ledger import boot_ns
from harness.scale import seeds, size
from harness.site import Site
from harness.wait import alive, eventually, took

BATCHES = (1, 10, 100)


@pytest.mark.fault(1)
@on_each_store
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("seed", seeds())
def test_a_worker_killed_at_a_random_moment_of_500_tasks_costs_at_most_the_one_it_had_started(
    site: Site, seed: int, batch: int
) -> None:
    chance = random.Random(seed * 1000 + batch)
    site.app(f"tasks_per_transaction={batch}")
    tree = site.tree(workers=2)
    site.push_many([{"seconds": 0.005}] * 500)
    time.sleep(chance.uniform(0.05, 1.0))  # the random moment is the row itself
    os.kill(chance.choice(tree.workers()), signal.SIGKILL)
    books = site.settle(20, extra_starts=1, extra_ends=1)
    assert len(books.starts) == 500
    assert tree.stop() == 0


@pytest.mark.fault(1)
@on_each_store
@pytest.mark.parametrize("batch", [1, 8, 100])
@pytest.mark.parametrize("seed", seeds(1))
def test_twenty_kills_in_a_row_cost_at_most_twenty_tasks_and_lose_none(site: Site, seed: int, batch: int) -> None:
    chance = random.Random(seed * 1000 + batch)
    kills, tasks = size(6, 20), size(2000, 10_000)
    site.app(f"tasks_per_transaction={batch}")
    tree = site.tree(workers=4)
    site.push_many({"seconds": chance.uniform(0.001, 0.005)} for _ in range(tasks))
    for _ in range(kills):
        time.sleep(0.3)
        os.kill(chance.choice(tree.ready()), signal.SIGKILL)
    books = site.settle(size(60, 300), extra_starts=kills, extra_ends=kills)
    assert len(books.starts) == tasks
    assert tree.stop() == 0


@pytest.mark.fault(1)
@on_each_store
@pytest.mark.parametrize("seed", seeds(1))
def test_what_a_killed_worker_held_runs_elsewhere_within_a_second(site: Site, seed: int) -> None:
    chance = random.Random(seed)
    site.app("tasks_per_transaction=100")
    site.tree(workers=2)
    for _ in range(size(2, 10)):
        numbers = site.push_many([{"seconds": 0.02}] * 100)
        middle = numbers[chance.randrange(10, 30)]
        victim = site.started(middle).starts[middle][0].pid
        killed = boot_ns()
        os.kill(victim, signal.SIGKILL)
        site.store.quiet(20)
        after = [
            took(killed, lines[-1].at)
            for n, lines in site.books().starts.items()
            if n in numbers and lines[-1].pid != victim and lines[-1].at > killed
        ]
        assert after
        assert min(after) < 1, f"the first ran {min(after):.2f} s after the kill"
    site.settle(10, extra_starts=size(2, 10), extra_ends=size(2, 10))


@pytest.mark.fault(2)
@on_each_store
@pytest.mark.parametrize("batch", BATCHES)
def test_a_worker_killed_before_it_saw_the_answer_that_leased_costs_nothing(site: Site, batch: int) -> None:
    site.app(f"tasks_per_transaction={batch}, recheck=0.2", losing=True)
    tree = site.tree(workers=2)
    for _ in range(size(2, 20)):
        tree.ready(2)
        order = site.order("exchange+", "killed")
        site.push_many([{"seconds": 0.001}] * 50)
        eventually(lambda: not order.exists(), 10, "a worker was killed")
        sent = boot_ns()
        site.store.quiet(10)
        assert took(sent) < 2.0
    books = site.settle(10, extra_starts=0)
    assert all(line.delivery == 0 for lines in books.starts.values() for line in lines)


@pytest.mark.fault(2)
@on_each_store
@pytest.mark.parametrize("how", ["killed", "unsent"])
@pytest.mark.parametrize("batch", [1, 10])
def test_a_worker_killed_as_it_settles_one_batch_and_leases_the_next_runs_nothing_twice(
    site: Site, batch: int, how: str
) -> None:
    """The stale mark: the page still names the old batch when the exchange that replaces it is sent, or lost."""
    site.app(f"tasks_per_transaction={batch}, recheck=0.2", losing=True)
    tree = site.tree(workers=2)
    kills = size(4, 20)
    for _ in range(kills):
        tree.ready(2)
        site.push_many([{"seconds": 0.001}] * 60)
        order = site.order("exchange-" if how == "killed" else "exchange", how)
        if how == "unsent":
            site.push_many([{}])
        eventually(lambda: not order.exists(), 10, "a worker was killed")
    books = site.settle(20, extra_starts=0)
    assert all(line.delivery == 0 for lines in books.starts.values() for line in lines)


@pytest.mark.fault(3)
@on_each_store
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_kill_before_the_done_mark_runs_the_task_again_and_one_after_it_does_not(site: Site, moment: str) -> None:
    """The worker kills itself at the end of the body, or in the next task's body, when the mark stands."""
    site.app(
        "tasks_per_transaction=10",
        body="""
@work.task
def once(n, moment):
    begin(n)
    end(n)
    if current().task.delivery_count == 0 and moment == "before":
        os.kill(os.getpid(), signal.SIGKILL)

@work.task
def killer(n):
    begin(n)
    if current().task.delivery_count == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    end(n)
""",
    )
    first = site.push("once", moment=moment)
    second = site.push("killer")
    site.tree(workers=1, ready=False)
    books = site.until(lambda books: second in books.ends, 15)
    books = site.settle(10, extra_starts=2, extra_ends=1)
    deliveries = [line.delivery for line in books.starts[first]]
    assert deliveries == ([0, 1] if moment == "before" else [0])
    assert [line.delivery for line in books.starts[second]] == [0, 1]


@pytest.mark.fault(4)
@pytest.mark.fault(5)
@on_each_store
@pytest.mark.parametrize("verb", ["exchange", "exchange+", "exchange-", "join", "renew", "release"])
def test_a_request_whose_answer_was_lost_is_repeated_and_does_nothing_twice(site: Site, verb: str) -> None:
    site.app("tasks_per_transaction=5, recheck=0.2, lease=1", losing=True)
    orders = [site.order(verb, "lost") for _ in range(3)]
    tree = site.tree(workers=2)
    numbers = site.push_many([{"seconds": 0.01}] * 150)
    if verb == "release":  # the keeper releases what is behind a slow task, and what a dead worker held
        slow = site.push(seconds=1.5)
        site.push_many([{}] * 20)
        site.started(slow)
        for _ in range(2):
            victim = tree.ready(2)[0]
            os.kill(victim, signal.SIGKILL)
            eventually(lambda: not alive(victim), 2, "gone")
    site.ended(*numbers, within=20)
    eventually(lambda: not any(order.exists() for order in orders), 10, "every answer was lost once")
    kills = 2 if verb == "release" else 0
    site.settle(20, extra_starts=kills, extra_ends=kills)
    assert tree.stop() == 0


@pytest.mark.fault(1)
@on_each_store
def test_a_keeper_that_dies_as_it_gives_back_what_a_dead_worker_held_leaves_it_to_the_next(
    site: Site,
) -> None:
    site.app("tasks_per_transaction=50", losing=True)
    tree = site.tree(workers=2)
    for how in ("killed", "unsent"):
        keeper = tree.keeper()
        numbers = site.push_many([{"seconds": 0.02}] * 60)
        victim = site.started(numbers[5]).starts[numbers[5]][0].pid
        site.order("release", how)
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: not alive(keeper), 5, "the keeper was killed")
        site.ended(*numbers, within=10)
        tree.ready(2)
    site.settle(10, extra_starts=2, extra_ends=2)
    assert tree.stop() == 0
