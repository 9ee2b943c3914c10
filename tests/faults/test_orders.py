"""Row 88 of the fault matrix: one tree of two is told to be quiet or to drain; the other goes on."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from harness.each_store import on_each_store
from harness.site import Site
from harness.store import connector
from harness.tree import Tree
from harness.wait import eventually
from regiment_runner.shared import page


@pytest.fixture
def board(store: str) -> Iterator[Any]:
    made: Any = connector(store, "push")
    if "steer" not in made.capabilities.extras:
        pytest.skip("this store has no orders")
    yield made
    made.close()


def whole(tree: Tree) -> str:
    return f"tree:{os.uname().nodename}:{tree.pid}"


def is_quiet(tree: Tree) -> bool:
    with tree.pages() as pages:
        orders = [one.words[page.ORDERS] for one in pages]
    return bool(orders) and all(order & page.QUIET for order in orders)


def ran_by(site: Site, numbers: list[int]) -> set[int]:
    books = site.ended(*numbers)
    return {line.pid for n in numbers for line in books.starts[n]}


@pytest.mark.fault(88)
@on_each_store
def test_one_tree_of_two_is_quiet_and_the_other_goes_on_until_the_order_is_taken_back(site: Site, board: Any) -> None:
    site.app("recheck=0.2")
    told, other = site.tree(), site.tree()
    (mine,), (theirs,) = told.workers(), other.workers()
    board.post("work", orders={whole(told): "quiet"})
    eventually(lambda: is_quiet(told), 10, told.text)
    assert told.event("supervisor.quiet")["by"] == whole(told)
    assert ran_by(site, site.push_many({"seconds": 0.02} for _ in range(20))) == {theirs}
    assert not is_quiet(other) and told.workers() == [mine]
    board.post("work", orders={whole(told): None})
    eventually(lambda: not is_quiet(told), 10, told.text)
    told.event("supervisor.resumed")
    eventually(lambda: mine in ran_by(site, site.push_many({"seconds": 0.05} for _ in range(10))), 20, told.text)


@pytest.mark.fault(88)
def test_a_tree_that_is_drained_finishes_what_runs_and_ends_with_0(site: Site, board: Any) -> None:
    site.app("recheck=0.2, tasks_per_transaction=10")
    told = site.tree()
    long, *others = site.push_many({"seconds": length} for length in (2.0, 0.01, 0.01))
    site.started(long)
    board.post("work", orders={f"host:{os.uname().nodename}": "drain"})
    told.event("supervisor.draining", within=10)
    assert told.end(20) == 0
    books = site.books()
    assert long in books.ends and not any(n in books.starts for n in others)
    assert {n for n, _ in site.store.peek()} == set(others)
    # Who starts while the order stands is told so, too.
    late = site.tree(ready=False)
    assert late.end(20) == 0
    board.post("work", orders={f"host:{os.uname().nodename}": None})
    site.tree()
    site.ended(*others)


@pytest.mark.fault(88)
def test_a_new_keeper_and_a_new_worker_know_what_their_tree_is_told(site: Site, board: Any) -> None:
    site.app("recheck=0.2")
    told = site.tree()
    board.post("work", orders={whole(told): "quiet"})
    eventually(lambda: is_quiet(told), 10, told.text)
    (old,) = told.workers()
    os.kill(old, signal.SIGKILL)
    eventually(lambda: is_quiet(told) and told.workers() not in ([], [old]), 15, told.text)
    board.post("work", orders={whole(told): None})
    os.kill(told.keeper(), signal.SIGKILL)
    eventually(lambda: not is_quiet(told), 20, told.text)
    n = site.push()
    site.ended(n)
