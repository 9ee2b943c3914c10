"""Rows 13, 19 and 20 of the fault matrix, and what several slots promise: no task waits behind a slow one."""

from __future__ import annotations

import resource
import signal
import time

import pytest

from harness.site import Site
from harness.wait import alive, eventually

ASYNC = """
import asyncio

@work.task
async def anap(n, seconds=0.0):
    begin(n)
    await asyncio.sleep(seconds)
    end(n)

@work.task
async def aleave(n, how):
    begin(n)
    if how == "exit":
        sys.exit(0)
    if how == "interrupt":
        raise KeyboardInterrupt
    if how == "cancelled":
        raise asyncio.CancelledError
    end(n)
"""
RECEIVES = """
@work.task
def receives(n):
    begin(n)
    ours, theirs = socket.socketpair()
    ours.recv(1)
"""
SLOTS = {
    "threads": ("executor=Use('threaded', threads=3)", "nap"),
    "loop": ("executor=Use('asyncio', concurrency=3)", "anap"),
    "plain on a loop": ("executor=Use('asyncio', concurrency=3)", "nap"),
}


@pytest.mark.fault(13)
def test_a_thread_that_does_not_die_is_written_off_and_its_neighbors_finish(site: Site) -> None:
    site.app(
        "executor=Use('threaded', threads=3), killer=Use('thread', grace=0.3), timeouts=Timeouts(soft=1.0), "
        "tasks_per_transaction=20",
        hooks=True,
        body=RECEIVES,
    )
    tree = site.tree()
    stuck = site.push("receives")
    site.started(stuck)
    neighbor = site.push(seconds=0.95)
    others = site.push_many([{"seconds": 0.2}] * 30)
    site.store.quiet(30)
    books = site.books()
    worker = books.starts[stuck][0].pid
    assert [told.outcome for told in books.told[stuck]] == ["timeout", "dead"]
    assert books.told[stuck][0].pid == worker, "its own worker tells, not the next"
    for n in (neighbor, *others):
        assert [told.outcome for told in books.told[n]] == ["success"]
        assert len(books.starts[n]) == 1
    assert books.starts[neighbor][0].pid == worker
    assert not alive(worker), "the worker is replaced"
    assert books.starts[others[-1]][0].pid != worker
    assert tree.stop(within=5) == 0


@pytest.mark.parametrize(("settings", "task"), SLOTS.values(), ids=SLOTS)
def test_what_is_pushed_while_one_slot_is_busy_starts_at_once(site: Site, settings: str, task: str) -> None:
    site.app(settings, body=ASYNC if "asyncio" in settings else "")
    tree = site.tree()
    slow = site.push(task, seconds=3.0)
    site.started(slow)
    for _ in range(3):
        time.sleep(0.2)
        n = site.push(task)
        site.ended(n, within=1.5)
    assert slow not in site.books().ends
    site.settle(10)
    assert tree.stop() == 0


@pytest.mark.parametrize(
    "settings",
    ["executor=Use('threaded', threads=1)", "executor=Use('asyncio', concurrency=1)"],
    ids=["one thread", "one coroutine"],
)
def test_one_slot_beside_the_thread_that_takes_is_refilled_at_once(site: Site, settings: str) -> None:
    site.app(settings)
    tree = site.tree()
    numbers = [site.push() for _ in range(20)]
    site.ended(*numbers, within=3)
    last = site.push()
    site.ended(last, within=1)
    assert tree.stop() == 0


@pytest.mark.fault(13)
def test_the_only_thread_of_a_worker_is_written_off_too(site: Site) -> None:
    site.app(
        "executor=Use('threaded', threads=1), killer=Use('thread', grace=0.3), timeouts=Timeouts(soft=0.5)",
        hooks=True,
        body=RECEIVES,
    )
    tree = site.tree()
    stuck, next_one = site.push("receives"), site.push()
    site.ended(next_one, within=8)
    assert [told.outcome for told in site.books().told[stuck]] == ["timeout", "dead"]
    site.store.quiet(5)
    assert tree.stop() == 0


@pytest.mark.parametrize(
    ("settings", "workers"),
    [
        ("executor=Use('threaded', threads=2)", 1),
        ("", 2),
        ("executor=Use('asyncio', concurrency=2)", 1),
    ],
    ids=["2 threads", "2 processes", "2 coroutines"],
)
def test_a_thousand_short_tasks_finish_while_a_long_one_runs_once(site: Site, settings: str, workers: int) -> None:
    """The long one outlives its lease three times: it is renewed, as one of a day is."""
    lease, long = 1.0, 6.0
    site.app(
        f"{settings}{', ' if settings else ''}lease={lease}, tasks_per_transaction=50, give_back_after=0.3",
        hooks=True,
        body=ASYNC if "asyncio" in settings else "",
    )
    tree = site.tree(workers=workers)
    name = "anap" if "asyncio" in settings else "nap"
    slow = site.push(name, seconds=long)
    site.started(slow)
    numbers = site.push_many([{}] * 1000, task=name)
    books = site.ended(*numbers, within=long)
    assert slow not in books.ends, "the short ones were to finish first"
    site.ended(slow, within=long + 5)
    books = site.settle(10)
    assert len(books.starts[slow]) == 1
    books.check_once()
    assert tree.stop() == 0


@pytest.mark.parametrize(("settings", "task"), SLOTS.values(), ids=SLOTS)
def test_a_stop_under_load_lets_what_runs_finish_and_returns_the_rest_in_front(
    site: Site, settings: str, task: str
) -> None:
    site.app(
        f"{settings}, tasks_per_transaction=10",
        hooks=True,
        body=ASYNC if "asyncio" in settings else "",
    )
    numbers = site.push_many([{"seconds": 0.5}] * 40, task=task)
    before = site.store.look.peek(site.store.queue.name, "ready", 1000)
    tree = site.tree()
    site.started(*numbers[:3])
    time.sleep(0.2)
    tree.send(signal.SIGTERM)
    assert tree.end(10) == 0
    books = site.books()
    started = [n for n in numbers if n in books.starts]
    assert started == numbers[: len(started)]
    assert sorted(books.ends) == started, "what ran has finished"
    assert len(started) < 20
    after = site.store.look.peek(site.store.queue.name, "ready", 1000)
    assert after == before[len(started) :], "payload, priority, count and order are as they were"
    books.check(dead=numbers[len(started) :])


@pytest.mark.fault(19)
@pytest.mark.parametrize(
    ("settings", "task", "hows"),
    [
        ("executor='serial'", "leave", ["exit", "interrupt", "generator"]),
        ("executor=Use('threaded', threads=2)", "leave", ["exit", "interrupt", "generator"]),
        ("executor=Use('asyncio', concurrency=2)", "aleave", ["exit", "interrupt", "cancelled"]),
        ("executor=Use('asyncio', concurrency=2)", "leave", ["exit", "interrupt"]),
    ],
    ids=["serial", "threaded", "asyncio", "plain on a loop"],
)
def test_what_would_end_a_program_fails_the_task_and_not_its_worker(
    site: Site, settings: str, task: str, hows: list[str]
) -> None:
    site.app(settings, hooks=True, body=ASYNC if "asyncio" in settings else "")
    tree = site.tree()
    worker = tree.ready()[0]
    numbers = [site.push(task, how=how) for how in hows]
    eventually(lambda: site.store.dead().keys() >= set(numbers), 10, site.logs)
    for n in numbers:
        assert [told.outcome for told in site.books().told[n]] == ["failure", "dead"]
    assert tree.workers() == [worker]
    assert tree.stop() == 0


@pytest.mark.fault(20)
@pytest.mark.parametrize("settings", ["executor='serial'", "executor=Use('threaded', threads=2)"])
def test_a_worker_that_has_no_descriptor_left_says_so_and_is_replaced(site: Site, settings: str) -> None:
    site.app(
        f"{settings}, tasks_per_transaction=5, max_retries=5, backoff=Backoff(first=0.05)",
        body="""
kept = []

@work.task
def leaks(n):
    begin(n)
    kept.extend(socket.socket() for _ in range(10))
    end(n)
""",
    )
    tree = site.tree(ready=False)
    resource.prlimit(tree.pid, resource.RLIMIT_NOFILE, (256, 256))
    tree.ready()
    numbers = site.push_many([{}] * 60, task="leaks")
    site.ended(*numbers, within=30)
    books = site.settle(10, extra_starts=None)
    assert not site.store.dead()
    assert len({line.pid for lines in books.starts.values() for line in lines}) >= 2
    assert any("Too many open files" in str(event) for event in tree.events("worker.exhausted"))
    assert tree.stop() == 0
