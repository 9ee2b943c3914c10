"""`take`: tasks that a task takes to do them in one go are done together, go back together, and die with nobody."""

from __future__ import annotations

import os
import signal
import time

import pytest

from harness.site import Site
from harness.wait import eventually
from regiment import Queue
from regiment.contracts import Terms
from regiment_runner.worker.lease import Lease

TAKES = """
import asyncio, warnings

other = Queue("crumbs", connector=work.config.connector)

@other.task
def crumb(n):
    pass

@work.task
def gathers(n, number, then="done", seconds=0.0, queue="crumbs"):
    begin(n)
    with current().take(number, queue) as tasks:
        write("T", n, *(task.kwargs["n"] for task in tasks))
        if seconds:
            time.sleep(seconds)
        if then == "raises":
            raise ValueError("after the take")
        if then == "retries":
            current().retry(delay=60)
        if then == "again":
            with current().take(number, queue) as more:
                write("T", n, *(task.kwargs["n"] for task in more))
    end(n)

@work.task
def greedy(n):
    begin(n)
    from contextlib import ExitStack
    with ExitStack() as stack:
        for _ in range(7):
            stack.enter_context(current().take(1, "crumbs"))
        try:
            stack.enter_context(current().take(1, "crumbs"))
        except RuntimeError as error:
            write("X", n, str(error).replace(" ", "~"))
    end(n)
"""
ATAKES = (
    TAKES
    + """
@work.task
async def agathers(n, number):
    begin(n)
    async with current().take(number, "crumbs") as tasks:
        await asyncio.sleep(0.01)
        write("T", n, *(task.kwargs["n"] for task in tasks))
    end(n)
"""
)


def crumbs(site: Site, count: int) -> list[int]:
    """Push crumbs to the other queue."""
    from regiment import Queue

    queue = Queue("crumbs", connector=site.url)
    queue.options(name="crumb").push_many({"n": n} for n in range(count))
    queue.broker.close()
    return list(range(count))


def left(site: Site) -> tuple[int, int, int]:
    """Ready, leased and dead crumbs."""
    counts = site.store.look.counts("crumbs")
    return counts.ready, counts.leased, counts.dead


def taken(site: Site, n: int) -> list[list[int]]:
    """What each take of a task got."""
    return [[int(word) for word in words[2:]] for words in site.books().words if words[:2] == ["T", str(n)]]


def test_what_is_taken_is_done_at_the_end_of_the_block(site: Site) -> None:
    site.app("", body=TAKES)
    tree = site.tree()
    crumbs(site, 25)
    first = site.push("gathers", number=10, then="again")
    second = site.push("gathers", number=100)
    third = site.push("gathers", number=5)
    site.ended(first, second, third)
    assert taken(site, first) == [list(range(10)), list(range(10, 20))]
    assert taken(site, second) == [list(range(20, 25))]
    assert taken(site, third) == [[]], "an empty queue gives an empty list"
    assert left(site) == (0, 0, 0)
    assert tree.stop() == 0


@pytest.mark.parametrize("then", ["raises", "retries"])
def test_what_is_taken_goes_back_in_front_if_the_block_raises(site: Site, then: str) -> None:
    site.app("", body=TAKES)
    tree = site.tree()
    crumbs(site, 6)
    n = site.push("gathers", number=4, then=then)
    site.started(n)
    eventually(lambda: taken(site, n) and left(site) == (6, 0, 0), 5, lambda: left(site))
    seen = site.store.look.peek("crumbs", "ready")
    assert [peeked.count for peeked in seen] == [0] * 6
    again = site.push("gathers", number=6)
    site.ended(again)
    assert taken(site, again) == [list(range(6))], "in their order"
    assert tree.stop() == 0


def test_a_task_that_was_killed_at_its_limit_is_left_to_an_attempt_of_its_own(site: Site) -> None:
    site.app("", body=TAKES)
    crumbs(site, 3)
    other = Queue("crumbs", connector=site.url)
    lease = Lease(other.broker.open("lease"), "crumbs", Terms())
    lease.join()
    lease.turn = 1
    lease.exchange((), 2, True)
    struck = {1: b'{"kind": "timeout", "reason": "killed at its limit"}'}
    lease.connector.release("crumbs", lease.consumer, (), struck, close=True)
    lease.connector.close()
    other.broker.close()
    eventually(lambda: left(site) == (3, 0, 0), 5)
    tree = site.tree()
    n = site.push("gathers", number=5)
    site.ended(n)
    assert taken(site, n) == [[1, 2]]
    (kept,) = site.store.look.peek("crumbs", "ready")
    assert kept.count == 1, "nothing was done to it"
    assert tree.stop() == 0


def test_what_is_taken_is_renewed_for_as_long_as_the_block_runs(site: Site) -> None:
    site.app("lease=0.9", body=TAKES)
    site.tree()
    crumbs(site, 5)
    n = site.push("gathers", number=5, seconds=4.0)
    rival = None
    site.started(n)
    eventually(lambda: taken(site, n), 3)
    while n not in site.books().ends:
        assert left(site) == (0, 5, 0)
        time.sleep(0.2)
        rival = rival or site.push("gathers", number=5)
    site.ended(rival)
    assert taken(site, rival) == [[]]
    assert left(site) == (0, 0, 0)


def test_what_a_killed_worker_had_taken_comes_back_counted(site: Site) -> None:
    site.app("", body=TAKES)
    tree = site.tree()
    crumbs(site, 5)
    n = site.push("gathers", number=3, seconds=60)
    eventually(lambda: taken(site, n), 10)
    os.kill(site.books().starts[n][0].pid, signal.SIGKILL)
    site.until(lambda books: len(books.starts[n]) == 2, 10)
    eventually(lambda: len(taken(site, n)) == 2, 5)
    assert sorted(taken(site, n)[1]) == [0, 1, 2]
    assert {seen.count for seen in site.store.look.peek("crumbs", "leased")} == {1}
    tree.send(signal.SIGKILL)


def test_takes_on_a_loop_and_seven_at_once(site: Site) -> None:
    site.app("executor=Use('asyncio', concurrency=5)", body=ATAKES)
    tree = site.tree()
    crumbs(site, 30)
    numbers = [site.push("agathers", number=5) for _ in range(5)]
    site.ended(*numbers)
    assert sorted(m for n in numbers for took in taken(site, n) for m in took) == list(range(25))
    greedy = site.push("greedy")
    site.ended(greedy)
    said = next(words[2] for words in site.books().words if words[:2] == ["X", str(greedy)])
    assert said.replace("~", " ") == ("7 takes are open in this worker already; end one before the next begins")
    assert left(site) == (0, 0, 0)
    assert tree.stop() == 0


SERGEANT = """
import warnings
from regiment import WorkerConfig
from regiment_sergeant import Worker

class Old(Worker):
    config = WorkerConfig(name="old", connector=work.config.connector)

    def work(self, task):
        n = task.kwargs["n"]
        if task.kwargs.get("crumb"):
            return
        begin(n)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            tasks = self.get_next_tasks(number_of_tasks=3)
        write("T", n, *(one.kwargs["n"] for one in tasks))
        write("X", n, caught[0].category.__name__)
        self.progress(1, 3, "half way")
        try:
            with self.take(0):
                pass
        except ValueError as error:
            write("Y", n, str(error).replace(" ", "~"))
        end(n)
"""


def test_the_old_name_takes_for_good_and_says_so(site: Site) -> None:
    from regiment import Queue

    site.app("", body=SERGEANT)
    queue = Queue("old", connector=site.url)
    queue.options().push(n=1)
    queue.options().push_many({"n": n, "crumb": True} for n in (2, 3, 4, 5))
    queue.broker.close()
    tree = site.tree("app:Old")
    site.ended(1)
    assert taken(site, 1) == [[2, 3, 4]]
    words = {one[0]: one[2] for one in site.books().words if one[1] == "1" and one[0] in "XY"}
    assert words["X"] == "DeprecationWarning"
    assert words["Y"].replace("~", " ") == ("take: number is 0; expected a whole number from 1 to 100,000")
    with tree.pages() as pages:
        state = next(iter(pages[0].slots()))
        assert (state.progress, state.note) in [((1, 3), "half way"), ((0, 0), "")]
    assert tree.stop() == 0
