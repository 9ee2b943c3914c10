"""Row 18 of the fault matrix: a task that kills its worker runs so many times and no more, the last time alone."""

from __future__ import annotations

import random

import pytest

from harness.each_store import on_each_store
from harness.ledger import Producer
from harness.scale import size
from harness.site import Site
from harness.wait import took
from regiment import Queue

TENTH = "poison_delays=(0, 0.1, 0.3, 0.5)"


SOON = (0.0, 0.1, 0.3)
TENTHS = (0.0, 0.1, 0.5, 2.5)
"""The pauses of the row, 0, 1, 5 and 25 s, in tenths of seconds."""

WORDS = {
    "exit": "exit code 11",
    "segfault": "killed by SIGSEGV",
    "kill": "killed by SIGKILL",
}


@pytest.mark.fault(18)
@on_each_store
@pytest.mark.parametrize(("how", "pauses"), [("exit", TENTHS), ("segfault", SOON), ("kill", SOON)])
def test_a_poisonous_task_starts_exactly_max_deliveries_times_and_is_dead_with_a_post_mortem(
    site: Site, how: str, pauses: tuple[float, ...]
) -> None:
    runs = len(pauses) + 1
    site.app(f"max_deliveries={runs}, recheck=60, poison_delays={pauses}", hooks=True)
    tree = site.tree(workers=2)
    n = site.push("crash", how=how)
    site.store.quiet(20)
    books, reason = site.books(), site.store.dead()[n]
    starts = books.starts[n]
    assert [line.delivery for line in starts] == list(range(runs))
    ready, pids = tree.ready_at(), [line.pid for line in starts]
    for k, pause in enumerate(pauses):
        before, after = starts[k : k + 2]
        due = before.at + int(pause * 1e9)
        free = min(at for pid, at in ready.items() if pid not in pids[: k + 1])
        assert after.at >= due, f"run {k + 1} did not wait {pause:g} s: {starts}"
        assert took(max(due, free), after.at) < 1.0, f"run {k + 1} was late: {starts}, {ready}"
    assert reason["kind"] == "poison"
    assert reason["error"] == f"ended its worker {runs} times; the last reason that is known: {WORDS[how]}"
    assert [told.outcome for told in books.told[n]] == ["dead"]
    assert len(tree.events("worker.crashed")) == runs


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
    """Two trees of 4 workers at the same time, one queue with poison and one without: what else the machine does, both feel."""
    site.app(
        "tasks_per_transaction=8",
        body=f"""
calm = Queue("calm", connector={site.url!r}, lease=3, tasks_per_transaction=8)
calm.task(nap.function, name="nap")
""",
    )
    calm = Producer(site.ledger, Queue("calm", connector=site.url))
    calm.next = 1_000_000
    chance = random.Random(1)
    naps = [{"seconds": chance.uniform(0.001, 0.005)} for _ in range(size(3000, 10_000))]
    bad = site.push("crash", how="exit")
    beside, alone = site.push_many(naps), calm.push_many(naps)
    for target in ("app:work", "app:calm"):
        site.tree(target, workers=4, ready=False)
    books = site.ended(*beside, *alone, within=120)
    calm.queue.broker.close()

    def seconds(numbers: list[int]) -> float:
        starts, ends = ([lines[n][0].at for n in numbers] for lines in (books.starts, books.ends))
        return (max(ends) - min(starts)) / 1e9

    assert len(books.starts[bad]) >= 2, "it was there"
    assert all(len(books.starts[n]) == 1 for n in beside)
    ratio = seconds(alone) / seconds(beside)
    assert ratio >= 0.8, (
        f"{len(naps)} tasks took {seconds(alone):.2f} s, beside a poisonous one {seconds(beside):.2f} s"
    )


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
