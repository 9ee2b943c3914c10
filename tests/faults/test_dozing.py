"""A tree that has nothing to do gives up its ticks, and loses nothing by it: what happens to it then is noticed as ever."""

from __future__ import annotations

import os
import random
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from harness.each_store import on_each_store
from harness.scale import seeds, size
from harness.site import Site
from harness.store import connector
from harness.tree import Tree
from harness.wait import alive, eventually
from regiment_runner.shared import page


def dozes(tree: Tree) -> bool:
    with tree.pages() as pages:
        return bool(pages) and all(one.words[page.DOZING] for one in pages)


def dozing(site: Site, workers: int = 2) -> Tree:
    """A tree that dozes, after it has done something."""
    tree = site.tree(workers=workers)
    site.ended(site.push())
    eventually(lambda: dozes(tree), 10, "it dozes")
    return tree


def wakes(pid: int) -> int:
    found = re.search(rb"^voluntary_ctxt_switches:\s+(\d+)", Path(f"/proc/{pid}/status").read_bytes(), re.MULTILINE)
    assert found is not None
    return int(found[1])


@on_each_store
def test_supervisor_and_keeper_of_an_idle_tree_sleep(site: Site) -> None:
    """Before, each woke once a second to tell the other, and probes, that it lives."""
    site.app("lease=60")
    tree = dozing(site)
    keeper = tree.keeper()
    time.sleep(4)  # until the keeper knows, and one who looks after it has seen so
    before = wakes(tree.pid) + wakes(keeper)
    time.sleep(8)
    assert wakes(tree.pid) + wakes(keeper) - before <= 6
    assert tree.keeper() == keeper and not tree.events("keeper.replaced")
    site.settle(5, extra_starts=0)


@on_each_store
def test_a_lease_holds_in_a_tree_that_was_idle_for_longer_than_it(site: Site) -> None:
    site.app("lease=1, recheck=60")
    tree = dozing(site)
    for _ in range(size(2, 5)):
        eventually(lambda: dozes(tree), 10, "it dozes again")
        time.sleep(2.5)
        site.ended(site.push(seconds=2))
    assert not tree.events("lease.lost")
    site.settle(5, extra_starts=0)


@pytest.mark.fault(26)
def test_a_keeper_that_stopped_while_nothing_ran_is_replaced_within_three_seconds_of_the_next_start(
    site: Site,
) -> None:
    site.app("lease=60, give_back_after=None")
    tree = dozing(site)
    keeper = tree.keeper()
    os.kill(keeper, signal.SIGSTOP)
    long = site.push(seconds=6)
    site.started(long)
    eventually(lambda: not alive(keeper), 3.0, "the silent keeper was killed")
    site.ended(long)
    site.settle(5, extra_starts=0)


@pytest.mark.fault(26)
def test_a_keeper_that_stopped_while_nothing_ran_is_replaced_before_the_leases_of_its_workers_lapse(
    site: Site,
) -> None:
    site.app("lease=4, recheck=60")
    tree = dozing(site)
    keeper = tree.keeper()
    os.kill(keeper, signal.SIGSTOP)
    eventually(lambda: not alive(keeper), 1 + 2.5 + 0.5, "the keeper that has not looked when it was to was killed")
    tree.event("keeper.replaced", 1)
    site.ended(site.push(seconds=0.5))
    assert not tree.events("lease.lost")
    site.settle(5, extra_starts=0)


def test_a_limit_holds_in_a_tree_that_dozed_when_its_task_came(site: Site) -> None:
    site.app("timeouts=Timeouts(1, grace=0.2), recheck=60, poison_delays=(0.0,), max_deliveries=1")
    tree = dozing(site)
    hangs = site.push("deaf")
    start = site.started(hangs).starts[hangs][0]
    eventually(lambda: not alive(start.pid), 1.2 + 0.5 + 0.5, "the limit holds")
    tree.ready(2)
    site.store.quiet(10)
    assert site.store.dead().keys() == {hangs}


def test_a_worker_that_dies_in_a_tree_that_dozes_is_replaced_at_once(site: Site) -> None:
    site.app("recheck=60")
    tree = dozing(site)
    for _ in range(size(3, 10)):
        victim = tree.workers()[0]
        os.kill(victim, signal.SIGKILL)
        eventually(lambda v=victim: v not in tree.workers() and len(tree.workers()) == 2, 3)  # type: ignore[misc]
        eventually(lambda: dozes(tree), 10, "it dozes again")
    site.ended(site.push())
    site.settle(5, extra_starts=0)


def test_a_folder_that_is_removed_from_a_tree_that_dozes_is_made_again_within_a_second(site: Site) -> None:
    site.app("recheck=60")
    tree = dozing(site)
    tree.lose_folder()
    removed = time.monotonic()
    assert tree.event("supervisor.pages_lost")["workers"] == 2
    assert time.monotonic() - removed < 2  # a tick, and the reading of the log
    tree.ready(2)
    site.ended(site.push())
    site.settle(5, extra_starts=0)


@pytest.mark.fault(24)
def test_workers_go_on_under_a_supervisor_that_was_stopped_while_it_dozed(site: Site) -> None:
    site.app("tasks_per_transaction=5, lease=1, timeouts=Timeouts(2)")
    tree = dozing(site)
    workers, keeper = tree.workers(), tree.keeper()
    os.kill(tree.pid, signal.SIGSTOP)
    stopped, numbers = time.monotonic(), []
    while time.monotonic() - stopped < size(4, 10):
        numbers += [site.push(seconds=0.05)]
        site.ended(numbers[-1])
    numbers += site.push_many([{"seconds": 0.01}] * 30)
    site.ended(*numbers)
    os.kill(tree.pid, signal.SIGCONT)
    site.settle(5, extra_starts=0)
    time.sleep(1)
    assert sorted(tree.workers()) == sorted(workers)
    assert tree.keeper() == keeper and not tree.events("keeper.replaced")


def test_all_that_was_stopped_while_it_dozed_goes_on_as_it_was(site: Site) -> None:
    """As when a machine sleeps: nobody is taken for dead because nobody was awake."""
    site.app("lease=4, recheck=60")
    tree = dozing(site)
    workers, keeper = tree.workers(), tree.keeper()
    pids = [tree.pid, keeper, *workers]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(8)
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
        time.sleep(0.2)
    site.ended(site.push())
    time.sleep(1)
    assert sorted(tree.workers()) == sorted(workers)
    assert tree.keeper() == keeper and not tree.events("keeper.replaced")
    site.settle(5, extra_starts=0)


@pytest.mark.fault(25)
def test_a_keeper_and_a_worker_that_are_killed_while_nothing_runs_cost_no_lease(site: Site) -> None:
    site.app("lease=3, recheck=60")
    tree = dozing(site)
    for _ in range(size(2, 10)):
        eventually(lambda: dozes(tree), 10, "it dozes")
        keeper, victim = tree.keeper(), tree.workers()[0]
        os.kill(keeper, signal.SIGKILL)
        os.kill(victim, signal.SIGKILL)
        long = site.push(seconds=4)
        eventually(lambda old=keeper: tree.keeper() != old, 2, "replaced")  # type: ignore[misc]
        site.ended(long)
    assert not tree.events("lease.lost")
    site.settle(5, extra_starts=0)


@pytest.mark.fault(23)
def test_nothing_is_left_of_a_tree_whose_supervisor_is_killed_while_it_dozes(site: Site) -> None:
    site.app("recheck=60")
    tree = dozing(site)
    pids = [*tree.workers(), tree.keeper()]
    tree.kill()
    eventually(lambda: not any(alive(pid) for pid in pids), 1.5, pids)


@pytest.mark.parametrize("seed", seeds(1, 5))
def test_a_limit_holds_of_a_task_that_comes_just_as_its_tree_falls_asleep(site: Site, seed: int) -> None:
    site.app("timeouts=Timeouts(1, grace=0.2), recheck=60, poison_delays=(0.0,), max_deliveries=1")
    tree, chance = dozing(site), random.Random(seed)
    for _ in range(size(3, 30)):
        site.ended(site.push())
        time.sleep(3 + chance.uniform(-0.2, 1.1))  # three ticks of calm, and one
        hangs = site.push("deaf")
        start = site.started(hangs).starts[hangs][0]
        eventually(lambda pid=start.pid: not alive(pid), 1.2 + 0.5 + 0.5, "the limit holds")  # type: ignore[misc]
        tree.ready(2)
    site.store.quiet(10)


def test_a_task_is_cancelled_and_a_tree_is_told_to_be_quiet_though_it_dozed(site: Site) -> None:
    site.app("lease=4, recheck=60, timeouts=Timeouts(60, grace=0.5)")
    tree = dozing(site)
    board: Any = connector(site.url, "push")
    long = site.push(seconds=30, options={"id": "long"})
    site.started(long)
    board.post("work", cancel=["long"])
    site.store.quiet(4)
    assert long not in site.books().ends
    eventually(lambda: dozes(tree), 15, "it dozes again")
    board.post("work", orders={f"tree:{os.uname().nodename}:{tree.pid}": "quiet"})
    tree.event("supervisor.quiet", within=5)
    board.close()
    left = site.push()
    time.sleep(1.5)
    assert left not in site.books().starts
    tree.stop()
