"""Rows 48, 66 and 67 of the fault matrix and R18: old tokens, lost locks, killed judges, a store that does not answer."""

from __future__ import annotations

import signal
import sqlite3
import time

import pytest

from harness.each_store import on_each_store
from harness.ledger import boot_ns
from harness.scale import size
from harness.site import Site
from harness.store import connector
from harness.wait import alive, eventually, took
from regiment.contracts import Again, Back, Dead, Done, Park, Terms
from regiment.errors import Fenced, LockLost
from regiment_runner.shared import page


@pytest.mark.fault(66)
@on_each_store
def test_whoever_was_taken_for_dead_can_settle_renew_and_release_nothing_that_runs_elsewhere(
    site: Site,
) -> None:
    """A consumer of this process lets its lease lapse; a worker takes over; then every old token is tried."""
    site.app("lease=0.5, recheck=0.1")
    numbers = site.push_many([{"seconds": 1.0}] + [{}] * 4)
    stale = connector(site.url, "lease")
    stale.join("work", "stale", Terms(lease=0.5, poison_delays=(0.0,)))
    taken = stale.exchange("work", "stale", 1, 1, (), 5, 1 << 20)
    assert [delivery.receipt for delivery in taken.deliveries] == [1, 2, 3, 4, 5]
    site.tree(workers=1)
    site.started(numbers[0])
    for settlement in (Done(1, 5), Back(1, 5), Again(1, b"", 0), Park(1, 0), Dead(1, "x", b"{}")):
        with pytest.raises(Fenced):
            stale.exchange("work", "stale", 2, 6, (settlement,), 5, 1 << 20)
    assert list(stale.renew([("work", "stale")], 30.0)) == [("work", "stale")]
    stale.release("work", "stale", [(1, 5)], {1: b"{}"}, close=True)
    stale.close()
    site.ended(*numbers)
    books = site.settle(5)
    assert all(line.delivery == 1 for lines in books.starts.values() for line in lines)


@pytest.mark.fault(67)
@on_each_store
def test_a_holder_that_was_away_longer_than_its_time_is_told_and_harms_no_next_holder(
    site: Site,
) -> None:
    broker = site.queue.broker
    mine, other = broker.lock("report"), broker.lock("report")
    mine.acquire(timeout=1, ttl=0.3)
    waited = boot_ns()
    assert other.acquire(timeout=5, check_interval=5, ttl=30), "free again when its time has passed"
    assert took(waited) < 0.3 + 1.0
    assert not mine.held
    assert not mine.release()
    assert not mine.set_ttl(60)
    assert other.held and other.release()
    mine.close()
    other.close()


@pytest.mark.fault(67)
@on_each_store
def test_the_block_of_a_lock_that_was_lost_says_so_at_its_end(site: Site) -> None:
    lock = site.queue.lock("report")
    with pytest.raises(LockLost, match="was lost before its block ended"), lock:
        assert lock.set_ttl(0.05)
        thief = site.queue.lock("report")
        assert thief.acquire(timeout=5, check_interval=0.05)
        thief.close()


@pytest.mark.fault(67)
@on_each_store
def test_a_lock_of_a_killed_worker_is_free_after_its_time(site: Site) -> None:
    site.app(
        "recheck=0.2",
        body="""
@work.task
def guarded(n):
    begin(n)
    lock = work.lock("guard")
    lock.acquire(ttl=0.5)
    if current().task.delivery_count == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    lock.release()
    end(n)
""",
    )
    n = site.push("guarded")
    site.tree(workers=1)
    site.ended(n, within=5)
    site.settle(5, extra_starts=1)


@pytest.mark.fault(9)
@on_each_store
def test_the_handler_of_a_timeout_runs_again_only_if_its_judge_was_killed_in_it(site: Site) -> None:
    """R18: the note stays, so that work is not run again."""
    site.app(
        "timeouts=Timeouts(0.3, grace=0.1), recheck=0.2, poison_delays=(0.0,)",
        body="""
@work.on("timeout")
def judged(task):
    write("O", task.kwargs["n"], "timeout", os.getpid(), at())
    if task.delivery_count < 3:
        os.kill(os.getpid(), signal.SIGKILL)
""",
    )
    site.tree(workers=1)
    n = site.push("deaf")
    site.store.quiet(15)
    books, dead = site.books(), site.store.dead()
    assert len(books.starts[n]) == 1
    assert len(books.told[n]) == 3, "two judges were killed in the handler, the third was not"
    assert len({told.pid for told in books.told[n]}) == 3
    assert dead[n]["kind"] == "timeout"


@pytest.mark.fault(48)
def test_a_store_that_does_not_answer_for_a_while_costs_no_task_no_worker_and_no_second_run(
    site: Site,
) -> None:
    site.app("tasks_per_transaction=5, lease=1, recheck=0.2")
    if not site.url.startswith("sqlite"):
        pytest.skip("locks the file of the embedded store")
    tree = site.tree(workers=2)
    workers = tree.workers()
    numbers = site.push_many([{"seconds": 0.05}] * 100)
    site.started(numbers[10])
    lock = sqlite3.connect(site.folder / "queue.db", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    time.sleep(size(6, 20))  # longer than the lease, and than a call waits
    lock.execute("ROLLBACK")
    lock.close()
    back = boot_ns()
    site.ended(*numbers, within=20)
    books = site.settle(10, extra_starts=0)
    assert sorted(tree.workers()) == sorted(workers)
    first = min(line.at for lines in books.starts.values() for line in lines if line.at > back)
    assert took(back, first) < 2.0, "it works again within 2 s"
    assert tree.stop() == 0


@pytest.mark.fault(27)
@pytest.mark.parametrize("busy", [True, False])
def test_a_tree_can_be_stopped_while_its_store_does_not_answer(site: Site, busy: bool) -> None:
    site.app("tasks_per_transaction=5, lease=30, recheck=0.2")
    if not site.url.startswith("sqlite"):
        pytest.skip("locks the file of the embedded store")
    tree = site.tree(workers=1, stop_timeout=2)
    numbers = site.push_many([{"seconds": 60 if busy else 0.3}] * 3)
    site.started(numbers[0])
    lock = sqlite3.connect(site.folder / "queue.db", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    told = boot_ns()
    tree.send(signal.SIGTERM)
    try:
        tree.end(2 + 5 + 5)
    finally:
        lock.execute("ROLLBACK")
        lock.close()
    assert took(told) < 2 + 1 + 2, "its stop timeout, and the keeper's last try"
    eventually(lambda: not tree.workers(), 2)


@pytest.mark.fault(3)
def test_what_had_ended_when_its_worker_left_a_silent_store_is_not_taken_for_a_crash(
    site: Site,
) -> None:
    """Its settlement could not be sent, and it was told to end: interrupted, not counted."""
    site.app(
        "tasks_per_transaction=1, lease=30, recheck=0.2, max_retries=3, backoff=Backoff(first=0.1)",
        body="""
@work.task
def again(n):
    begin(n)
    time.sleep(0.5)
    raise ValueError("again")
""",
    )
    if not site.url.startswith("sqlite"):
        pytest.skip("locks the file of the embedded store")
    tree = site.tree(workers=1, stop_timeout=8)
    n = site.push("again")
    site.started(n)
    lock = sqlite3.connect(site.folder / "queue.db", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    tree.send(signal.SIGTERM)
    with tree.pages() as pages:
        eventually(lambda: pages[0].slot_word(0)[1] == page.ENDED, 5, "it has ended, and is not settled")
        pid = int(pages[0].words[page.PID])
    eventually(lambda: not alive(pid), 10, "the worker has left")
    lock.execute("ROLLBACK")
    lock.close()
    tree.end(10)
    assert site.store.peek() == [(n, 0)] or site.store.peek("delayed") == [(n, 0)]
