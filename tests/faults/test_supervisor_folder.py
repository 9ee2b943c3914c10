"""The tree's folder (pages, roster, heartbeat) is removed from outside while the tree works."""

from __future__ import annotations

import os
import signal

import pytest

from harness.site import Site
from harness.wait import alive, eventually


def test_a_tree_whose_folder_is_removed_says_so_and_makes_another_with_new_workers(
    site: Site,
) -> None:
    site.app("recheck=0.2, give_back_after=None")
    tree = site.tree(workers=2, tick=0.2)
    old = tree.workers()
    numbers = site.push_many([{"seconds": 0.5}] * 4)
    site.started(*numbers[:1])
    tree.lose_folder()
    lost = tree.event("supervisor.pages_lost")
    assert lost["workers"] == 2
    assert "RemoveIPC=" in lost["reason"]
    new = tree.ready(2)
    assert not set(old) & set(new)
    later = site.push_many([{}] * 10)
    site.ended(*numbers, *later)
    site.settle(5, extra_starts=0)
    assert {event["reason"] for event in tree.events("worker.recycled")} == {"page removed from outside"}
    assert (tree.folder / "heartbeat.json").exists()
    assert (tree.folder / "tree.json").exists()
    assert tree.stop() == 0


@pytest.mark.parametrize("victim", ["keeper", "worker"])
def test_a_death_after_the_folder_was_removed_loses_and_doubles_nothing(site: Site, victim: str) -> None:
    """A new keeper finds the pages of running workers although their names are gone."""
    site.app("lease=1, recheck=0.2, tasks_per_transaction=5, poison_delays=(0.0,)")
    tree = site.tree(workers=2)
    slow = site.push(seconds=2.5)
    line = site.started(slow).starts[slow][0]
    keeper = tree.keeper()
    tree.lose_folder()
    os.kill(keeper, signal.SIGKILL)
    tree.event("keeper.replaced")
    if victim == "worker":
        os.kill(line.pid, signal.SIGKILL)
        eventually(lambda: not alive(line.pid), 2)
    others = site.push_many([{}] * 10)
    books = site.ended(slow, *others)
    kills = victim == "worker"
    assert len(books.starts[slow]) == 1 + kills
    site.settle(5, extra_starts=int(kills))
    assert len(tree.events("keeper.replaced")) == 1, "one keeper was enough"
    assert tree.stop() == 0
