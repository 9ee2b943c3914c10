"""Row 87 of the fault matrix: what is cancelled ends as cancelled, wherever it is, and nothing follows it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from harness.each_store import on_each_store
from harness.site import Site
from harness.store import connector
from harness.wait import alive, eventually
from regiment.contracts import Connector

QUICK = "max_retries=5, timeouts=Timeouts(60, grace=0.5), recheck=0.2"
AGAIN = """
@work.task
def again(n):
    begin(n)
    raise Retry(delay=4.0)


@work.task(timeouts=Timeouts(60, grace=20))
def tidy(n, how):
    begin(n)
    try:
        time.sleep(60)
    except BaseException as error:
        write("T", n, type(error).__name__)
        if how == "succeeds":
            return
        if how == "fails":
            raise OSError("the tidying went wrong") from None
        raise


@work.task
def asks(n):
    begin(n)
    while not current().cancelled:
        time.sleep(0.01)
    current().check()
"""
ASYNC = """
import asyncio


@work.task{limit}
async def waits(n, seconds=0.0):
    begin(n)
    await asyncio.sleep(seconds)
    end(n)
"""


@pytest.fixture
def board(store: str) -> Iterator[Connector]:
    made = connector(store, "push")
    yield made
    made.close()


def named(site: Site, task: str, **kwargs: object) -> tuple[int, str]:
    """Push a task with an id of its own; its number and its id."""
    options = dict(kwargs.pop("options", {}), id=f"{task}.{site.producer.next}")  # type: ignore[call-overload]
    return site.push(task, options=options, **kwargs), options["id"]


def ends_as_cancelled(site: Site, n: int, within: float = 10.0, before: tuple[str, ...] = ()) -> None:
    books = site.until(lambda books: any(told.outcome == "cancel" for told in books.told[n]), within)
    assert [told.outcome for told in books.told[n]] == [*before, "cancel"]


def nothing_is_left(site: Site, board: Connector) -> None:
    site.store.quiet(10)
    assert site.store.dead() == {}
    eventually(lambda: not board.board("work").cancelled, 10, lambda: board.board("work"))


@pytest.mark.fault(87)
@on_each_store
def test_what_waits_is_delayed_runs_or_is_retried_ends_as_cancelled_and_never_runs_again(
    site: Site, board: Connector
) -> None:
    site.app(QUICK, hooks=True, body=AGAIN)
    tree = site.tree(workers=2)
    pids = tree.workers()
    tries, tried = named(site, "again")
    later, delayed = named(site, "nap", options={"delay": 3.0})
    site.until(lambda books: books.told[tries], 10)
    board.post("work", cancel=[tried, delayed])
    sleeps, asleep = named(site, "nap", seconds=60)
    site.started(sleeps)
    board.post("work", cancel=[asleep])
    ends_as_cancelled(site, sleeps)
    assert tree.workers() == pids, "the task was struck softly"
    board.post("work", paused=True)
    first, waiting = named(site, "nap")
    board.post("work", cancel=[waiting])
    board.post("work", paused=False)
    ends_as_cancelled(site, first)
    deaf, unheard = named(site, "deaf")
    pid = site.started(deaf).starts[deaf][0].pid
    board.post("work", cancel=[unheard])
    ends_as_cancelled(site, deaf)
    assert not alive(pid), "it was killed when its grace was over"
    ends_as_cancelled(site, later)
    ends_as_cancelled(site, tries, before=("retry",))
    nothing_is_left(site, board)
    books = site.books()
    assert [len(books.starts[n]) for n in (sleeps, later, tries, first, deaf)] == [1, 0, 1, 0, 1]
    after = site.push()
    site.ended(after)
    assert tree.stop() == 0


@pytest.mark.fault(87)
def test_the_only_worker_is_busy_and_its_keeper_hears_of_a_cancel_with_a_renewal(site: Site, board: Connector) -> None:
    site.app("recheck=0.2", hooks=True, body=AGAIN)  # no limit: nothing guards these tasks
    site.tree(workers=1)
    for how, outcome in (("raises", "cancel"), ("fails", "cancel"), ("succeeds", "success")):
        n, id = named(site, "tidy", how=how)
        site.started(n)
        board.post("work", cancel=[id])
        books = site.until(lambda books, n=n: books.told[n], 10)
        assert [told.outcome for told in books.told[n]] == [outcome]
        assert ["T", str(n), "Cancelled"] in books.words
    n, id = named(site, "asks")
    site.started(n)
    board.post("work", cancel=[f"trace:{id}"])
    ends_as_cancelled(site, n)
    board.post("work", clear=[f"trace:{id}"])
    nothing_is_left(site, board)


@pytest.mark.fault(87)
@pytest.mark.parametrize("how", ["worker", "keeper"])
def test_a_worker_or_keeper_that_is_killed_as_its_task_is_cancelled_changes_nothing(
    site: Site, board: Connector, how: str
) -> None:
    site.app(QUICK, hooks=True)
    tree = site.tree(workers=1)
    for _ in range(3):
        n, id = named(site, "nap", seconds=60)
        pid = site.started(n).starts[n][0].pid
        board.post("work", cancel=[id])
        os.kill(pid if how == "worker" else tree.keeper(), signal.SIGKILL)
        books = site.until(lambda books, n=n: books.told[n], 20)
        assert {told.outcome for told in books.told[n]} == {"cancel"}
        assert len(books.starts[n]) == 1
        tree.ready(1)
    nothing_is_left(site, board)


@pytest.mark.fault(87)
def test_in_threads_a_task_may_ask_and_one_that_does_not_is_killed_without_a_verdict_on_its_neighbors(
    site: Site, board: Connector
) -> None:
    site.app(f"{QUICK}, executor=Use('threaded', threads=3)", hooks=True, body=AGAIN)
    tree = site.tree(workers=1)
    (pid,) = tree.workers()
    neighbor = site.push("nap", seconds=3)
    asks, asked = named(site, "asks")
    site.started(neighbor, asks)
    board.post("work", cancel=[asked])
    ends_as_cancelled(site, asks)
    assert alive(pid)
    sleeps, asleep = named(site, "nap", seconds=60)
    site.started(sleeps)
    board.post("work", cancel=[asleep])
    ends_as_cancelled(site, sleeps)
    assert not alive(pid)
    books = site.ended(neighbor, within=15)
    assert {line.delivery for line in books.starts[neighbor]} == {0}, "it was interrupted, and is no suspect"
    nothing_is_left(site, board)


@pytest.mark.fault(87)
def test_the_killer_of_threads_raises_in_the_one_thread(site: Site, board: Connector) -> None:
    settings = "timeouts=Timeouts(soft=60), executor=Use('threaded', threads=2), killer='thread', recheck=0.2"
    body = """
@work.task
def spins(n):
    begin(n)
    try:
        while True:
            time.sleep(0.01)
    except BaseException as error:
        write("T", n, type(error).__name__)
        raise
"""
    site.app(settings, hooks=True, body=body)
    tree = site.tree(workers=1)
    pids = tree.workers()
    n, id = named(site, "spins")
    neighbor = site.push("nap", seconds=1)
    site.started(n, neighbor)
    board.post("work", cancel=[id])
    ends_as_cancelled(site, n)
    assert ["T", str(n), "Cancelled"] in site.books().words
    site.ended(neighbor)
    nothing_is_left(site, board)
    assert tree.workers() == pids


@pytest.mark.fault(87)
@pytest.mark.parametrize("killer", ["process", "coroutine"])
def test_on_a_loop_the_one_coroutine_is_cancelled(site: Site, board: Connector, killer: str) -> None:
    limit = "(timeouts=Timeouts(soft=60, hard=70))" if killer == "coroutine" else ""
    site.app(f"executor='asyncio', killer={killer!r}, recheck=0.2", hooks=True, body=ASYNC.format(limit=limit))
    tree = site.tree(workers=1)
    pids = tree.workers()
    n, id = named(site, "waits", seconds=60)
    neighbor = site.push("waits", seconds=1)
    site.started(n, neighbor)
    board.post("work", cancel=[id])
    ends_as_cancelled(site, n)
    site.ended(neighbor)
    nothing_is_left(site, board)
    assert tree.workers() == pids


@pytest.mark.fault(87)
def test_a_cancelled_task_is_no_error_of_a_burst(site: Site, board: Connector) -> None:
    site.app(QUICK, hooks=True)
    tree = site.tree(workers=1, burst=True, ready=False)
    n, id = named(site, "deaf")
    site.started(n)
    board.post("work", cancel=[id])
    ends_as_cancelled(site, n)
    assert tree.end(20) == 0
