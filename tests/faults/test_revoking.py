"""Row 9 of the lease's list: no batch waits behind a slow task, and nothing taken back runs twice."""

from __future__ import annotations

import os
import random
import signal

import pytest

from harness.each_store import on_each_store
from harness.scale import seeds, size
from harness.site import Site
from harness.wait import eventually


@pytest.mark.fault(9)
@on_each_store
@pytest.mark.parametrize("seed", seeds(2, 20))
def test_two_hundred_short_tasks_do_not_wait_for_a_long_one_in_their_batch(site: Site, seed: int) -> None:
    chance = random.Random(seed)
    site.app("tasks_per_transaction=100")
    tree = site.tree(workers=2, stop_timeout=0.5)
    place = chance.randrange(200)
    lengths = [0.001] * 200
    lengths.insert(place, 30.0)
    numbers = site.push_many({"seconds": length} for length in lengths)
    long = numbers.pop(place)
    site.ended(*numbers, within=2.5)
    books = site.books()
    assert not books.twice
    assert long in books.starts and long not in books.ends
    # A body's end comes before its settlement.
    eventually(lambda: site.store.counts().leased == 1, 1, site.store.counts)
    assert tree.stop() == 8
    assert site.store.peek() == [(long, 0)]
    site.queue.broker.close()


@pytest.mark.fault(9)
@on_each_store
@pytest.mark.parametrize("seed", seeds(2, 20))
def test_a_batch_is_taken_back_as_its_slow_task_ends_and_each_runs_once(site: Site, seed: int) -> None:
    """The race: task length = give_back_after ± 1 ms, so that the worker starts the next as it is revoked."""
    chance = random.Random(seed)
    site.app("tasks_per_transaction=10, give_back_after=0.04, settle_within=0.02, recheck=0.2")
    tree = site.tree(workers=2)
    numbers = site.push_many({"seconds": 0.04 + chance.uniform(-0.001, 0.003)} for _ in range(size(150, 500)))
    site.ended(*numbers, within=30 + 0.04 * len(numbers))
    books = site.settle(10, extra_starts=0)
    assert all(line.delivery == 0 for lines in books.starts.values() for line in lines)
    assert len({line.pid for lines in books.starts.values() for line in lines}) == 2
    assert tree.stop() == 0


@pytest.mark.fault(3)
@on_each_store
@pytest.mark.parametrize("seed", seeds(1, 20))
def test_workers_and_keepers_killed_as_batches_are_taken_back_cost_at_most_what_had_started(
    site: Site, seed: int
) -> None:
    chance = random.Random(seed)
    site.app("tasks_per_transaction=10, give_back_after=0.02, settle_within=0.01, recheck=0.2")
    tree = site.tree(workers=3)
    numbers = site.push_many({"seconds": chance.choice([0.001, 0.02, 0.021, 0.05])} for _ in range(size(600, 2500)))
    kills = size(8, 60)
    for kill in range(kills):
        site.until(lambda books: len(books.ends) > kill * 20, 20)
        os.kill(chance.choice(tree.ready(1)), signal.SIGKILL)
        if kill % 3 == 0:
            os.kill(tree.keeper(), signal.SIGKILL)
    site.ended(*numbers, within=30 + 0.02 * len(numbers))
    site.settle(10, extra_starts=kills, extra_ends=kills)


@pytest.mark.fault(3)
@on_each_store
def test_a_finished_task_is_settled_soon_though_its_worker_is_busy(site: Site) -> None:
    site.app("tasks_per_transaction=10, settle_within=0.3, give_back_after=None")
    tree = site.tree(workers=1, stop_timeout=0.2)
    eventually(site.store.look.presence, 10, "its keeper, which settles for it, is at the store")
    quick = site.push_many([{}] * 5)
    slow = site.push(seconds=30)
    site.started(slow)
    assert set(quick) <= site.books().ends.keys()
    eventually(lambda: site.store.counts().leased == 1, 0.3 + 1.0, lambda: str(site.store.counts()))
    assert tree.stop() == 8
    assert site.store.peek() == [(slow, 0)]
