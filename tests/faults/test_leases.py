"""Rows 6 to 8, 24, 26, 32, 53 and 66 of the fault matrix: who holds a task, and who does not any more."""

from __future__ import annotations

import itertools
import os
import random
import signal
import time

import pytest

from harness.each_store import on_each_store
from harness.ledger import boot_ns
from harness.scale import seeds, size
from harness.site import LEASE, Site
from harness.wait import alive, eventually, state_of, took


@pytest.mark.fault(6)
@on_each_store
def test_a_worker_stopped_for_two_leases_keeps_what_it_holds_while_its_keeper_lives(
    site: Site,
) -> None:
    site.app("tasks_per_transaction=5, lease=1, recheck=0.2, give_back_after=None")
    first = site.tree(workers=1)
    numbers = site.push_many([{"seconds": 0.3}] * 5)
    site.started(numbers[0])
    (stopped,) = first.workers()
    site.store.stop_between_writes([stopped])
    other = site.tree(workers=1)
    others = site.push_many([{}] * 5)
    site.ended(*others)
    time.sleep(2 * 1.0)  # two leases long, the fault itself
    os.kill(stopped, signal.SIGCONT)
    site.ended(*numbers)
    books = site.settle(5, extra_starts=0)
    assert {line.pid for n in numbers for line in books.starts[n]} == {stopped}
    assert other.stop() == first.stop() == 0


GATED = """
@work.task
def gated(n):
    begin(n)
    while not os.path.exists(f"go{current().task.delivery_count}"):
        time.sleep(0.005)
    end(n)
"""
"""A task that ends when the test lets this delivery of it end."""


@pytest.mark.fault(7)
@on_each_store
def test_a_tree_stopped_for_two_leases_settles_nothing_and_starts_nothing_that_others_took_over(
    site: Site,
) -> None:
    settings = "tasks_per_transaction=8, lease=2, recheck=0.2, give_back_after=None"
    site.app(settings, body=GATED)
    first = site.tree(workers=1)
    (stale,) = first.workers()
    running, *mates = site.push_many([{}] * 8, task="gated")  # in one push: in one take
    site.started(running)
    frozen = [first.pid, first.keeper(), stale]
    site.store.stop_between_writes(frozen)
    stopped = time.monotonic()
    site.tree(workers=1)
    site.until(lambda books: len(books.starts[running]) == 2, 10)
    time.sleep(max(0.0, stopped + 2 * 2.0 - time.monotonic()))  # two leases long, the fault itself
    (site.folder / "go0").touch()
    for pid in reversed(frozen):
        os.kill(pid, signal.SIGCONT)

    first.event("lease.lost")
    books = site.books()
    assert [(line.pid, line.delivery) for line in books.ends[running]] == [(stale, 0)]
    assert (running, 1) in site.store.peek("leased"), "its settlement changed nothing"
    others = site.push_many([{}] * 10)
    books = site.ended(*others)
    assert {line.pid for n in others for line in books.starts[n]} == {stale}, "it works again"
    assert not [n for n in mates if n in books.starts], "what it had leased is another's now"

    (site.folder / "go1").touch()
    books = site.ended(*mates)
    books = site.settle(5, extra_starts=1, extra_ends=1)
    assert stale not in {line.pid for n in mates for line in books.starts[n]}
    assert [line.delivery for line in books.ends[running]] == [0, 1]


@pytest.mark.fault(8)
@on_each_store
def test_a_task_that_holds_the_gil_for_three_leases_runs_once(site: Site) -> None:
    site.app("lease=0.5, recheck=0.2, tasks_per_transaction=4")
    site.tree(workers=2)
    n = site.push("held", seconds=1.5)
    mates = site.push_many([{}] * 10)
    site.ended(n, *mates)
    site.settle(5, extra_starts=0)


@pytest.mark.fault(8)
@on_each_store
def test_a_worker_with_a_shorter_lease_than_its_neighbors_on_the_same_store_is_renewed_in_time(
    site: Site,
) -> None:
    """The keeper renews a store's consumers by the shortest lease of all, also of a worker that came last."""
    site.app("lease=0.6, recheck=0.1")
    (site.folder / "long.py").write_text(
        f"from regiment import Queue\nwork = Queue('long', connector={site.url!r}, lease=30)\n"
        "@work.task\ndef nothing() -> None: ...\n"
    )
    tree = site.tree(["long:work", "app:work=2"], ready=False)
    for _ in range(3):
        tree.ready(3)
        numbers = [site.push(seconds=1.5)]
        site.ended(*numbers)
        for pid in tree.ready(3):
            os.kill(pid, signal.SIGKILL)
    site.settle(10, extra_starts=0)


@pytest.mark.fault(24)
def test_workers_go_on_under_a_stopped_supervisor_and_are_not_killed_when_it_wakes(
    site: Site,
) -> None:
    site.app("tasks_per_transaction=5, lease=1, timeouts=Timeouts(2)")
    tree = site.tree(workers=2)
    workers, keeper = tree.workers(), tree.keeper()
    os.kill(tree.pid, signal.SIGSTOP)
    stopped, numbers = time.monotonic(), []
    while time.monotonic() - stopped < size(3, 10):  # longer than the keeper may be silent, and than the lease
        numbers += [site.push(seconds=0.05)]
        site.ended(numbers[-1])
    os.kill(tree.pid, signal.SIGCONT)
    numbers += site.push_many([{"seconds": 0.01}] * 100)
    site.ended(*numbers)
    site.settle(5)
    assert sorted(tree.workers()) == sorted(workers)
    assert tree.keeper() == keeper
    assert not tree.events("keeper.replaced")


@pytest.mark.fault(26)
@pytest.mark.parametrize("lease", [3, 10])
def test_a_stopped_keeper_is_killed_and_replaced_within_three_seconds(site: Site, lease: int) -> None:
    site.app(f"tasks_per_transaction=8, lease={lease}, recheck=0.2")
    tree = site.tree(workers=2)
    keeper = tree.keeper()
    numbers = site.push_many([{"seconds": 0.01}] * 700)
    os.kill(keeper, signal.SIGSTOP)
    eventually(lambda: not alive(keeper), 3.0, "the silent keeper was killed")
    tree.event("keeper.replaced", 1)
    site.ended(*numbers, within=20)
    bound = 8 if lease == 3 else 0
    books = site.settle(10, extra_starts=bound, extra_ends=bound)
    assert state_of(tree.keeper()) in ("S", "R")
    assert len(books.starts) == 700


@pytest.mark.fault(25)
@on_each_store
def test_a_killed_keeper_is_replaced_within_a_second_and_no_lease_or_limit_lapses(
    site: Site,
) -> None:
    site.app("tasks_per_transaction=5, lease=1, recheck=0.2, timeouts=Timeouts(4, grace=0.2)")
    tree = site.tree(workers=2)
    long, hangs = site.push(seconds=3), site.push("deaf")
    start = site.started(long, hangs).starts[hangs][0]
    for _ in range(size(3, 10)):
        keeper = tree.keeper()
        os.kill(keeper, signal.SIGKILL)
        eventually(lambda: not alive(keeper), 1)
        eventually(lambda: tree.keeper() != keeper, 1, "another keeper")
    site.ended(long)
    eventually(lambda: not alive(start.pid), 4.2 + 0.5, "the limit holds")
    assert took(start.at) < 5.2
    site.store.quiet(10)
    site.books().check(site.store.dead())
    assert site.store.dead().keys() == {hangs}


@pytest.mark.fault(25)
@on_each_store
def test_what_a_worker_held_that_dies_while_there_is_no_keeper_is_given_back_by_the_next_one(
    site: Site,
) -> None:
    site.app("tasks_per_transaction=50, lease=30")
    tree = site.tree(workers=2)
    kills = size(3, 20)
    for _ in range(kills):
        numbers = site.push_many([{"seconds": 0.02}] * 60)
        victim = site.started(numbers[3]).starts[numbers[3]][0].pid
        keeper = tree.keeper()
        os.kill(keeper, signal.SIGKILL)
        os.kill(victim, signal.SIGKILL)
        killed = boot_ns()
        site.ended(*numbers, within=10)
        assert took(killed) < 5
        tree.ready(2)
    site.settle(10, extra_starts=kills, extra_ends=kills)


@pytest.mark.fault(53)
@on_each_store
@pytest.mark.parametrize("seed", seeds())
def test_two_supervisors_that_come_and_go_share_a_queue_without_running_anything_twice(site: Site, seed: int) -> None:
    chance = random.Random(seed)
    site.app("tasks_per_transaction=8, recheck=0.2")
    trees = [site.tree(workers=3), site.tree(workers=2)]
    numbers = site.push_many({"seconds": chance.uniform(0.001, 0.02)} for _ in range(size(800, 5000)))
    for _ in range(size(3, 10)):
        time.sleep(chance.uniform(0.1, 0.5))  # a random moment is the row itself
        leaving = trees.pop(chance.randrange(len(trees)))
        assert leaving.stop() == 0
        trees.append(site.tree(workers=chance.randrange(1, 4)))
    site.ended(*numbers, within=size(60, 300))
    books = site.settle(10, extra_starts=0)
    assert all(line.delivery == 0 for lines in books.starts.values() for line in lines)


@pytest.mark.fault(7)
@on_each_store
def test_a_dead_host_is_noticed_one_lease_later_by_an_idle_worker(site: Site) -> None:
    site.app(f"tasks_per_transaction=8, lease={LEASE}, recheck=60, give_back_after=None")
    first = site.tree(workers=1)
    numbers = site.push_many([{"seconds": 0.5}] * 8)
    site.started(numbers[0])
    second = site.tree(workers=1)
    (taker,) = second.workers()
    whole = [first.keeper(), *first.workers(), first.pid]
    for pid in whole:
        os.kill(pid, signal.SIGSTOP)
    gone = boot_ns()
    for pid in whole:
        os.kill(pid, signal.SIGKILL)
    first.process.wait()
    books = site.ended(*numbers, within=LEASE + 5 + 5)
    site.settle(5, extra_starts=8, extra_ends=8)
    taken = min(line.at for n in numbers for line in books.starts[n] if line.pid == taker)
    assert took(gone, taken) < LEASE + 5


@pytest.mark.fault(7)
def test_the_keeper_renews_more_often_than_stores_take_for_an_outage_of_their_own(
    site: Site,
) -> None:
    """R8: a gap of more than a third of the lease moves all deadlines, also those of a host that is dead."""
    site.app("lease=1.5", losing=True)
    calls = site.folder / "orders" / "calls"
    calls.parent.mkdir()
    calls.touch()
    site.tree(workers=1)
    times = eventually(lambda: found if len(found := calls.read_text().split()) > 10 else None, 15)
    gaps = sorted((int(b) - int(a)) / 1e9 for a, b in itertools.pairwise(times))
    assert gaps[len(gaps) // 2] < 0.9 * 1.5 / 3, gaps
