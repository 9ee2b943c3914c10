"""What a tree counts: exact over kills of workers, keepers and supervisors, and told to its store once."""

from __future__ import annotations

import os
import random
import signal
import time

import pytest

from harness.each_store import on_each_store
from harness.scale import seeds, size
from harness.site import Site
from harness.wait import alive, eventually
from regiment.contracts import OUTCOMES
from regiment_runner.shared.ledger import LEDGER


def told(site: Site) -> dict[str, dict[str, int]]:
    """What the store says has ended ever: task -> outcome -> number."""
    slices = site.store.look.history([site.store.queue.name], "ever", 0)  # type: ignore[attr-defined]
    return {
        row.task: {name: number for name, number in zip(OUTCOMES, row.counts, strict=True) if number}
        for one in slices
        for row in one.ended
    }


@pytest.mark.fault(89)
@on_each_store
@pytest.mark.parametrize("batch", [1, 100])
@pytest.mark.parametrize("seed", seeds(1))
def test_totals_are_exact_after_many_kills_of_workers_and_of_keepers(site: Site, seed: int, batch: int) -> None:
    chance = random.Random(seed)
    kills = size(12, 40)
    site.app(f"tasks_per_transaction={batch}")
    tree = site.tree(workers=2)
    tasks = 0
    for kill in range(kills):
        site.push_many({"seconds": chance.uniform(0, 0.003)} for _ in range(200))
        tasks += 200
        time.sleep(chance.uniform(0.1, 0.5))
        os.kill(chance.choice(tree.ready()), signal.SIGKILL)
        if kill % 4 == 3:
            os.kill(tree.keeper(), signal.SIGKILL)
    books = site.settle(60, extra_starts=kills, extra_ends=kills)
    assert len(books.starts) == tasks
    files = {path.name for path in tree.folder.iterdir() if path.suffix == ".page" or path.name.startswith(LEDGER)}
    assert len(files) <= 5, "two pages and one ledger; those of the last kill may not be gone yet"
    assert tree.stop() == 0
    [counted] = told(site).values()
    assert counted == {"success": tasks}


@pytest.mark.fault(89)
def test_what_a_store_was_told_is_not_told_again_by_the_keeper_that_follows(site: Site) -> None:
    site.app("")
    tree = site.tree(workers=1)
    site.push_many([{"seconds": 0}] * 50)
    eventually(lambda: told(site) or None, 40, "the store is told")
    os.kill(tree.keeper(), signal.SIGKILL)
    site.push_many([{"seconds": 0}] * 50)
    site.store.quiet(20)
    tree.keeper()
    assert tree.stop() == 0
    assert list(told(site).values()) == [{"success": 100}]


@pytest.mark.fault(89)
def test_a_keeper_whose_supervisor_is_killed_tells_the_rest(site: Site) -> None:
    site.app("")
    tree = site.tree(workers=1)
    site.push_many([{"seconds": 0}] * 20)
    site.store.quiet(20)
    keeper = tree.keeper()
    tree.kill()
    eventually(lambda: not alive(keeper) or None, 10, "the keeper ends")
    assert list(told(site).values()) == [{"success": 20}]
