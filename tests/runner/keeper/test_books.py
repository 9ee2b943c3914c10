"""The books of a tree: what its stores are told, when answers are lost, keepers follow one another and pages are given up."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.wait import eventually
from regiment.config import Use
from regiment.contracts import MOST_NAMES, OTHER_NAMES, Capabilities
from regiment.errors import StoreUnavailable
from regiment.registry import registry
from regiment.task import new_id
from regiment_runner.keeper.books import Books
from regiment_runner.keeper.store import Store
from regiment_runner.keeper.ward import Ward
from regiment_runner.shared import page
from regiment_runner.shared.page import Page
from regiment_runner.shared.tally import RAN
from regiment_runner.worker.tallying import Tally


class Tree:
    """A folder of pages, the store of their queue, and the keepers that keep books one after another."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spec = {"name": "memory", "options": {"name": new_id()}}
        self.connector: Any = registry().build("connectors", Use("memory", **self.spec["options"]))
        self.connector.open("keep")
        self.store = Store(self.spec, lambda: None)
        self.store._connector = self.connector
        self.pages: dict[str, Page] = {}
        self.tallies: dict[str, Tally] = {}
        self.wards: dict[str, Ward] = {}

    def worker(self, name: str) -> None:
        """A worker begins."""
        made = self.pages[name] = Page(self.folder / f"{name}.page", create=True)
        made.words[page.SLOTS], made.words[page.LAST] = 1, 1_000_000
        self.tallies[name] = Tally(made)

    def ends(self, name: str, number: int, task: str = "send", ms: float = 0) -> None:
        """So many tasks of a worker succeed, which run one after the other for so long: more than it lives is not believed."""
        time.sleep(ms / 1000)
        words, tally = self.pages[name].words, self.tallies[name]
        base = tally.entry(task) >> 48
        words[base] = ((words[base] >> 24) + number) << 24
        words[base + RAN] += int(ms * 1e6)

    def keeper(self) -> Books:
        """A keeper begins, and is told of all workers whose pages are there."""
        made = Books()
        spec = {"connector": self.spec, "queue": "q", "lease": 30, "give_back_after": None, "settle_within": 1}
        for name, sheet in self.pages.items():
            if sheet.path.exists():
                pidfd = os.pidfd_open(os.getpid())
                self.wards[name] = Ward(name, sheet.path, pidfd, {**spec, "delivery": "at_least_once"}, self.store)
                made.open(self.wards[name])
        return made

    def tell(self, keeper: Books) -> None:
        """Have the store told, and wait for that."""
        keeper.tell([self.store])
        eventually(lambda: not self.store.waiting or None, 10)

    def told(self) -> dict[str, tuple[int, int]]:
        """Task -> successes and milliseconds that the store has."""
        slices = self.connector.history(["q"], "ever", 0)
        return {row.task: (row.counts[0], row.ms) for one in slices for row in one.ended}


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    made = Tree(tmp_path)
    yield made
    for ward in made.wards.values():
        ward.close()


def test_what_living_and_ended_workers_have_counted_is_told_once(tree: Tree) -> None:
    tree.worker("w1"), tree.worker("w2")
    keeper = tree.keeper()
    tree.ends("w1", 3, ms=0.6), tree.ends("w2", 4, ms=0.6)
    tree.tell(keeper)
    assert tree.told() == {"send": (7, 1)}
    tree.ends("w1", 1, ms=0.9)
    keeper.close(tree.wards["w1"])
    keeper.close(tree.wards["w1"])
    tree.tell(keeper), tree.tell(keeper)
    assert tree.told() == {"send": (8, 2)}, "no part of a millisecond is lost"


def test_a_tree_in_which_nothing_ended_asks_its_store_for_nothing(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    tree.worker("w1")
    keeper = tree.keeper()
    asked: list[Any] = []
    monkeypatch.setattr(tree.store, "ask", lambda *args, **more: asked.append(args))
    keeper.tell([tree.store])
    assert not asked
    tree.ends("w1", 1)
    keeper.tell([tree.store])
    assert asked


def test_a_keeper_that_follows_one_that_was_killed_counts_no_worker_twice(tree: Tree) -> None:
    tree.worker("w1"), tree.worker("w2")
    first = tree.keeper()
    tree.ends("w1", 3), tree.ends("w2", 4)
    first.close(tree.wards["w1"])
    second = tree.keeper()  # the supervisor has not heard that w1 is dealt with, and says it again
    second.close(tree.wards["w1"])
    tree.tell(second)
    assert tree.told() == {"send": (7, 0)}
    tree.pages["w1"].path.unlink()
    third = tree.keeper()
    tree.ends("w2", 1)
    tree.tell(third)
    assert tree.told() == {"send": (8, 0)}


@pytest.mark.fault(89)
@pytest.mark.parametrize("took", [True, False])
def test_what_was_sent_without_an_answer_counts_once_whichever_keeper_repeats_it(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, took: bool
) -> None:
    tree.worker("w1")
    keeper, record = tree.keeper(), tree.connector.record
    tree.ends("w1", 3)

    def lost(*args: Any) -> bool:
        if took:
            record(*args)
        raise StoreUnavailable("the answer was lost")

    monkeypatch.setattr(tree.connector, "record", lost)
    keeper.tell([tree.store])
    eventually(lambda: tree.store._failing, 10)
    old, tree.store = tree.store, Store(tree.spec, lambda: None)  # as if that keeper had been killed
    monkeypatch.setattr(tree.connector, "record", record)
    tree.store._connector = tree.connector
    old.jobs.queue.clear()
    tree.ends("w1", 4)
    tree.tell(tree.keeper())
    assert tree.told() == {"send": (7, 0)}


def test_a_page_that_is_given_up_takes_nothing_back(tree: Tree) -> None:
    tree.worker("w1"), tree.worker("w2")
    keeper = tree.keeper()
    tree.ends("w1", 3), tree.ends("w2", 1)
    tree.tell(keeper)
    os.truncate(tree.pages["w1"].path, 0)
    assert tree.wards["w1"].page.damage()
    keeper.close(tree.wards["w1"])
    tree.ends("w2", 1)
    tree.tell(keeper)
    assert tree.told() == {"send": (5, 0)}


def test_a_store_without_history_is_not_asked(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    tree.worker("w1")
    tree.ends("w1", 1)
    monkeypatch.setattr(tree.connector, "capabilities", Capabilities())
    tree.tell(tree.keeper())
    assert tree.told() == {}


def test_more_names_than_a_request_may_have_count_together(tree: Tree) -> None:
    for worker in range(5):
        tree.worker(f"w{worker}")
        for number in range(30):
            tree.ends(f"w{worker}", 1, f"task {worker} {number}")
    tree.tell(tree.keeper())
    told = tree.told()
    assert len(told) <= MOST_NAMES
    assert sum(counts for counts, _ in told.values()) == 150 and told[OTHER_NAMES][0] == 150 - 63
