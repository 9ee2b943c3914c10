"""Row 18 of the fault matrix: a task that kills its worker runs so many times and no more, the last time alone."""

from __future__ import annotations

import itertools

import pytest

from harness.each_store import on_each_store
from harness.scale import size
from harness.site import Site

TENTH = "poison_delays=(0, 0.1, 0.3, 0.5)"


@pytest.mark.fault(18)
@on_each_store
@pytest.mark.parametrize("how", ["exit", "segfault", "kill"])
def test_a_poisonous_task_starts_exactly_max_deliveries_times_and_is_dead_with_a_post_mortem(
    site: Site, how: str
) -> None:
    site.app(f"max_deliveries=4, recheck=0.2, {TENTH}", hooks=True)
    tree = site.tree(workers=2)
    n = site.push("crash", how=how)
    site.store.quiet(20)
    books, reason = site.books(), site.store.dead()[n]
    starts = books.starts[n]
    assert [line.delivery for line in starts] == [0, 1, 2, 3]
    gaps = [(after.at - before.at) / 1e9 for before, after in itertools.pairwise(starts)]
    assert gaps[0] < 1.0, "the first redelivery comes at once"
    assert gaps[1] >= 0.1 and gaps[2] >= 0.3, gaps
    assert reason["kind"] == "poison"
    words = {"exit": "exit code 11", "segfault": "killed by SIGSEGV", "kill": "killed by SIGKILL"}[
        how
    ]
    assert reason["error"] == f"ended its worker 4 times, the last time: {words}"
    assert [told.outcome for told in books.told[n]] == ["dead"]
    assert len(tree.events("worker.crashed")) == 4


@pytest.mark.fault(18)
@on_each_store
@pytest.mark.parametrize("batch", [10, 50])
def test_no_batch_mate_of_a_poisonous_task_is_counted_lost_or_dead(site: Site, batch: int) -> None:
    site.app(f"max_deliveries=3, recheck=0.2, tasks_per_transaction={batch}, {TENTH}")
    mates = site.push_many([{}] * 20)
    bad = [site.push("crash", how="exit") for _ in range(3)]
    mates += site.push_many([{}] * 40)
    site.tree(workers=2, ready=False)
    site.ended(*mates, within=30)
    books = site.settle(20, extra_starts=6)
    assert set(site.store.dead()) == set(bad)
    assert all([line.delivery for line in books.starts[n]] == [0, 1, 2] for n in bad)
    assert all([line.delivery for line in books.starts[n]] == [0] for n in mates)


@pytest.mark.fault(18)
@on_each_store
def test_a_delivery_on_its_last_try_runs_alone(site: Site) -> None:
    """What it was leased with goes back before it starts, so that nobody else's task is open when it kills."""
    site.app("max_deliveries=2, recheck=0.2, tasks_per_transaction=10, poison_delays=(0.0,)")
    bad = site.push("crash", how="exit")
    mates = site.push_many([{"seconds": 0.01}] * 9)
    tree = site.tree(workers=1, ready=False)
    books = site.ended(*mates, within=15)
    books = site.settle(10, extra_starts=1)
    first, last = books.starts[bad]
    between = [n for n in mates if first.at < books.starts[n][0].at < last.at]
    assert not between, "the first redelivery comes at once, in front"
    assert all(line.delivery == 0 for n in mates for line in books.starts[n])
    assert len(tree.events("worker.crashed")) == 2


@pytest.mark.fault(18)
@on_each_store
def test_others_keep_four_fifths_of_their_throughput_beside_a_poisonous_task(site: Site) -> None:
    site.app("tasks_per_transaction=10, give_back_after=0.1")
    tree = site.tree(workers=3)
    count = size(700, 10_000)

    def seconds(poison: int) -> float:
        bad = [site.push("crash", how="exit") for _ in range(poison)]
        numbers = site.push_many([{"seconds": 0.01}] * count)
        books = site.ended(*numbers, within=60)
        assert all(len(books.starts[n]) >= 2 for n in bad)
        ends = [books.ends[n][0].at for n in numbers]
        starts = [books.starts[n][0].at for n in numbers]
        return (max(ends) - min(starts)) / 1e9

    quiet = seconds(0)
    noisy = seconds(1)
    assert quiet / noisy >= 0.8, (
        f"{count} tasks took {quiet:.2f} s, beside a poisonous one {noisy:.2f} s"
    )
    assert tree.stop() == 0


@pytest.mark.fault(18)
@on_each_store
def test_a_task_of_at_most_once_that_was_started_never_runs_again_whatever_ended_its_worker(
    site: Site,
) -> None:
    site.app('delivery="at_most_once", recheck=0.2, timeouts=Timeouts(0.3, grace=0.1)', hooks=True)
    tree = site.tree(workers=1)
    crashed = site.push("crash", how="kill")
    struck = site.push("deaf")
    mates = site.push_many([{}] * 5)
    site.ended(*mates, within=15)
    site.store.quiet(10)
    books, dead = site.books(), site.store.dead()
    assert len(books.starts[crashed]) == len(books.starts[struck]) == 1
    assert dead[crashed]["kind"] == "poison"
    assert dead[struck]["kind"] == "timeout"
    assert tree.stop() == 0


@pytest.mark.fault(18)
@on_each_store
@pytest.mark.parametrize("how", ["supervisor killed", "stop timeout"])
def test_a_task_of_at_most_once_that_was_interrupted_never_runs_again(site: Site, how: str) -> None:
    site.app('delivery="at_most_once", tasks_per_transaction=5, give_back_after=None, recheck=0.2')
    tree = site.tree(workers=1, stop_timeout=0.2)
    slow = site.push(seconds=60)
    mates = site.push_many([{}] * 3)
    site.started(slow)
    if how == "supervisor killed":
        tree.kill()
    else:
        assert tree.stop() == 8
    site.tree(workers=1)
    site.ended(*mates, within=10)
    site.store.quiet(10)
    assert len(site.books().starts[slow]) == 1
    assert site.store.dead()[slow]["kind"] == "poison"
