"""R19: who made the others late is found out; nobody is condemned for running beside it, and nobody runs without end."""

from __future__ import annotations

import pytest

from harness.ledger import Books
from harness.site import Site
from harness.wait import eventually

BODY = """
import asyncio

@work.task
async def innocent(n, seconds=0.3):
    begin(n)
    await asyncio.sleep(seconds)
    end(n)

@work.task
async def blocks(n):
    begin(n)
    await asyncio.sleep(0.1)
    time.sleep(1000)

@work.task(timeout=2)
async def blocks_later(n):
    begin(n)
    await asyncio.sleep(0.3)
    time.sleep(1000)

@work.task
async def swallows(n):
    begin(n)
    while True:
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            pass

"""
HOLDS = """
@work.task
def plain(n, seconds=0.3):
    begin(n)
    time.sleep(seconds)
    end(n)

@work.task
def holds(n):
    begin(n)
    time.sleep(0.1)
    re.match(r"(a+)+$", "a" * 40 + "b")

@work.task(timeout=2)
def holds_later(n):
    begin(n)
    time.sleep(0.3)
    re.match(r"(a+)+$", "a" * 40 + "b")

@work.task
def waits(n):
    begin(n)
    time.sleep(1000)
"""
LOOP = (
    "executor=Use('asyncio', concurrency=20), tasks_per_transaction=20, timeouts=Timeouts(0.8, grace=0.3), recheck=0.2"
)
THREADS = LOOP.replace("Use('asyncio', concurrency=20)", "Use('threaded', threads=10)")


def outcomes(site: Site, guilty: int, innocent: list[int], within: float) -> Books:
    """Wait until all is over: the guilty one is a timeout, told once, and every innocent ended; the books."""
    eventually(lambda: guilty in site.store.dead(), within, site.logs)
    books = site.ended(*innocent, within=within)
    site.store.quiet(within)
    dead = site.store.dead()
    assert set(dead) == {guilty}, "nobody else is a dead letter"
    assert dead[guilty]["kind"] == "timeout"
    books = site.books()
    assert [told.outcome for told in books.told[guilty]] == ["timeout", "dead"]
    for n in innocent:
        assert [told.outcome for told in books.told[n]] == ["success"], n
    return books


@pytest.mark.fault(14)
@pytest.mark.parametrize("killer", ["process", "coroutine"])
def test_a_coroutine_that_blocks_the_loop_takes_none_of_its_neighbors_with_it(site: Site, killer: str) -> None:
    site.app(f"{LOOP}, killer='{killer}'", hooks=True, body=BODY)
    innocent = site.push_many([{}] * 10, task="innocent")
    guilty = site.push("blocks")
    innocent += site.push_many([{}] * 8, task="innocent")
    tree = site.tree()
    books = outcomes(site, guilty, innocent, 30)
    assert len(books.starts[guilty]) == 2, "once among others, once alone"
    assert all(len(books.starts[n]) <= 2 for n in innocent)
    assert tree.stop() == 0


@pytest.mark.fault(9)
def test_a_thread_that_holds_the_interpreter_takes_none_of_its_neighbors_with_it(
    site: Site,
) -> None:
    site.app(THREADS, hooks=True, body=HOLDS)
    innocent = site.push_many([{}] * 4, task="plain")
    guilty = site.push("holds")
    innocent += site.push_many([{}] * 4, task="plain")
    site.tree()
    books = outcomes(site, guilty, innocent, 30)
    assert len(books.starts[guilty]) <= 2


@pytest.mark.fault(9)
def test_who_holds_the_interpreter_is_found_although_its_neighbors_are_late_long_before_it(
    site: Site,
) -> None:
    site.app(THREADS, hooks=True, body=HOLDS)
    site.tree()
    guilty = site.push("holds_later")
    site.started(guilty)
    innocent = [site.push("plain", seconds=0.6) for _ in range(3)]
    books = outcomes(site, guilty, innocent, 30)
    assert len(books.starts[guilty]) <= 2, "however many are late before it"


@pytest.mark.fault(13)
def test_a_thread_that_waits_for_ever_is_judged_at_once(site: Site) -> None:
    site.app(THREADS, hooks=True, body=HOLDS)
    site.tree()
    guilty = site.push("waits")
    site.started(guilty)
    innocent = [site.push("plain", seconds=0.6) for _ in range(3)]
    books = outcomes(site, guilty, innocent, 30)
    assert len(books.starts[guilty]) == 1


@pytest.mark.fault(14)
def test_who_blocks_the_loop_is_found_although_its_neighbors_are_late_long_before_it(
    site: Site,
) -> None:
    site.app(LOOP, hooks=True, body=BODY)
    site.tree()
    guilty = site.push("blocks_later")
    site.started(guilty)
    innocent = [site.push("innocent", seconds=0.6) for _ in range(3)]
    books = outcomes(site, guilty, innocent, 30)
    assert len(books.starts[guilty]) <= 2, "however many are late before it"


@pytest.mark.fault(14)
def test_one_that_waits_for_ever_on_a_loop_that_turns_is_judged_at_once(site: Site) -> None:
    site.app(f"{LOOP}, killer='coroutine'", hooks=True, body=BODY)
    site.tree()
    guilty = site.push("swallows")
    site.started(guilty)
    innocent = [site.push("innocent", seconds=0.5) for _ in range(3)]
    books = outcomes(site, guilty, innocent, 30)
    assert len(books.starts[guilty]) == 1


def test_a_suspect_that_may_be_delivered_only_once_still_runs_alone(site: Site) -> None:
    site.app(f"{LOOP}, max_deliveries=1", hooks=True, body=BODY)
    innocent = site.push_many([{}] * 3, task="innocent")
    guilty = site.push("blocks")
    innocent += site.push_many([{}] * 3, task="innocent")
    site.tree()
    books = outcomes(site, guilty, innocent, 30)
    assert len(books.starts[guilty]) == 2
