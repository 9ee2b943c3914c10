"""Rows 1 to 3 of the fault matrix: a worker is killed, and only what it had started runs again."""

from __future__ import annotations

import os
import random
import signal
import time

import pytest

from harness.scale import seeds, size
from harness.site import Site

BATCHES = (1, 10, 100)


@pytest.mark.fault(1)
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("seed", seeds())
def test_a_killed_worker_costs_at_most_the_task_it_had_started(
    site: Site, seed: int, batch: int
) -> None:
    chance = random.Random(seed)
    site.app(f"tasks_per_transaction={batch}")
    tree = site.tree(workers=2)
    site.push_many([{"seconds": 0.005}] * 500)
    time.sleep(chance.uniform(0.05, 1.0))  # the random moment is the row itself
    victim = chance.choice(tree.workers())
    os.kill(victim, signal.SIGKILL)
    books = site.settle(20, extra_starts=1, extra_ends=1)
    assert len(books.starts) == 500
    assert tree.stop() == 0
