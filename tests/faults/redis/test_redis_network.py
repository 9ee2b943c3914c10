"""Rows 4, 5, 12 and 41 to 44 of the fault matrix: what the network does between whole trees and Redis."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from pathlib import Path

import pytest

import harness
from harness.ledger import boot_ns
from harness.load import Load
from harness.proxy import Proxy
from harness.scale import size
from harness.site import Site
from harness.wait import descriptors, eventually, took

RESUME = 2.0
"""Seconds within which every worker works again when it can reach its store."""


def an_exchange(request: bytes) -> bool:
    return b"EVALSHA" in request and b"\r\n8388608\r\n" in request  # the most bytes of a batch


def that_settles(request: bytes) -> bool:
    return an_exchange(request) and b"$1\r\nD\r\n" in request


def that_retries(request: bytes) -> bool:
    return an_exchange(request) and b"$1\r\nA\r\n" in request


@pytest.mark.fault(4)
@pytest.mark.fault(5)
@pytest.mark.parametrize("batch", [1, 8])
def test_exchanges_whose_answers_the_network_loses_lease_and_settle_once(site: Site, proxy: Proxy, batch: int) -> None:
    site.app(
        f"tasks_per_transaction={batch}, recheck=0.2, max_retries=1, backoff=Backoff(first=0.01)",
        body="""
@work.task
def twice(n):
    begin(n)
    if current().task.run_count == 0:
        raise Retry
    end(n)
""",
        connector=repr(proxy.url),
    )
    tree = site.tree(workers=2)
    numbers: list[int] = []
    for kind in (an_exchange, that_settles, that_retries) * size(4, 50):
        cuts = proxy.cuts
        proxy.cut_reply(kind)
        numbers += site.push_many([{}] * 6, task="twice")
        eventually(lambda: proxy.cuts > cuts, 10, "an answer was lost")
    site.ended(*numbers, within=20)
    books = site.settle(10, extra_starts=len(numbers))
    assert all(len(lines) == 2 for lines in books.starts.values()), "each ran, and ran its one retry"
    assert all(line.delivery == 0 for lines in books.starts.values() for line in lines)
    assert proxy.cuts == 3 * size(4, 50)
    assert not tree.events("lease.lost")
    assert tree.stop() == 0


STRUCK = """
@work.task
def pushing(n):
    \"\"\"Computes until just before its limit, then pushes until it is struck.\"\"\"
    begin(n)
    near = time.monotonic() + 0.0185
    while time.monotonic() < near:
        pass
    for child in range(10**7 + n * 1000, 10**7 + n * 1000 + 900):
        write("I", child)
        try:
            nap.push(n=child)
            write("A", child)
        except BaseException:
            write("U", child)
            raise
    while True:  # a strike is as late as its supervisor gets a processor; it comes, and what pushed is struck
        pass


@work.on("timeout")
def struck(task):
    n = 10**7 + task.kwargs["n"] * 1000 + 999
    write("I", n)
    answers = [nap.options(id=f"after-{n}").push(n=n).existed for _ in range(2)]
    write("A", n)
    write("T", n, answers == [False, True])
"""


@pytest.mark.fault(12)
@pytest.mark.parametrize("parser", ["hiredis", "python"])
def test_a_limit_that_strikes_within_a_push_leaves_it_whole_or_absent_and_the_connection_in_step(
    site: Site, parser: str
) -> None:
    site.app("timeouts=Timeouts(0.02, grace=5), tasks_per_transaction=5", body=STRUCK)
    tests = str(Path(harness.__file__).parent.parent)
    environment = {}
    if parser == "python":
        (site.folder / "hiredis.py").write_text("raise ImportError('not here')\n")
        environment["PYTHONPATH"] = os.pathsep.join([str(site.folder), tests])
    tree = site.tree(workers=2, environment=environment)
    workers = tree.workers()
    count = size(150, 2500)
    site.push_many([{}] * 10, task="pushing")
    site.store.quiet(20)
    before = [descriptors(pid) for pid in workers]
    struck = site.push_many([{}] * count, task="pushing")
    site.store.quiet(30 + count / 10)
    books, dead = site.books(), site.store.dead()
    books.check(dead)
    assert {reason["kind"] for reason in dead.values()} == {"timeout"}
    assert set(struck) <= dead.keys(), "each was struck as it pushed"
    within = [n for n in books.unknown if n >= 10**7]
    assert len(within) > count / 4, f"only {len(within)} of {count} were struck within a push"
    told = [words for words in books.words if words[0] == "T"]
    # A child may be struck, too, where the machine is slow.
    times = Counter(words[1] for words in told)
    assert all(times[str(10**7 + n * 1000 + 999)] == 1 for n in struck)
    assert all(words[2] == "True" for words in told), "the next command had its own reply"
    assert tree.workers() == workers
    after = [descriptors(pid) for pid in workers]
    # A worker opens its connections as it needs them; a leak is one for each strike.
    assert max(after) <= max(before) + 2, f"sockets were left open: {before}, {after}"
    assert tree.stop() == 0


@pytest.mark.fault(41)
def test_workers_that_were_cut_off_work_again_within_two_seconds_and_run_nothing_twice(
    site: Site, proxy: Proxy
) -> None:
    site.app("tasks_per_transaction=8, lease=1, recheck=0.2", connector=repr(proxy.url))
    tree = site.tree(workers=3)
    workers = tree.workers()
    with Load(site, proxy.url, push_timeout=1.0) as load:
        for _ in range(size(1, 3)):
            before = len(site.books().ends)
            site.until(lambda books: len(books.ends) > before + 50, 10)
            slow = site.push_many([{"seconds": size(3.0, 12.0)}])
            site.started(*slow)
            proxy.drop()
            eventually(lambda: load.refused, 5, "a push gave up")
            time.sleep(size(2, 10))  # two leases long, the fault itself
            proxy.pass_on()
            back = boot_ns()
            site.until(
                lambda books: any(line.at > back for lines in books.starts.values() for line in lines),
                RESUME,
            )
            site.ended(*slow)
        for _ in range(size(5, 50)):
            ends = len(site.books().ends)
            proxy.reset()
            site.until(lambda books: len(books.ends) > ends + 5, RESUME + 3)
    site.settle(15, extra_starts=0)
    assert sorted(tree.workers()) == sorted(workers)
    site.reached(tree)
    assert tree.stop() == 0


@pytest.mark.fault(41)
def test_what_others_took_over_while_a_tree_was_cut_off_is_not_settled_by_it(site: Site, proxy: Proxy) -> None:
    site.app(
        "tasks_per_transaction=8, lease=1, recheck=0.2, give_back_after=None",
        connector=repr(proxy.url),
    )
    cut_off = site.tree(workers=1)
    numbers = site.push_many([{"seconds": 0.4}] * 8)
    site.started(numbers[0])
    proxy.drop()
    site.app("tasks_per_transaction=8, lease=1, recheck=0.2", name="direct")
    direct = site.tree("direct:work", workers=1)
    (taker,) = direct.workers()
    site.until(lambda books: all(any(line.pid == taker for line in books.ends[n]) for n in numbers[4:]), 15)
    proxy.pass_on()
    cut_off.event("lease.lost", 10)
    again = site.push_many([{}] * 20)
    site.ended(*again)
    site.settle(5, extra_starts=8, extra_ends=8)
    assert not site.store.dead()
    assert cut_off.stop() == direct.stop() == 0


@pytest.mark.fault(42)
@pytest.mark.parametrize("busy", [True, False])
def test_a_connection_that_died_in_silence_is_noticed_within_three_seconds(
    site: Site, proxy: Proxy, busy: bool
) -> None:
    """The bound is `recheck` and the connector's `timeout`; what was pushed meanwhile waits no longer than that."""
    site.app(
        "tasks_per_transaction=1, recheck=1.5",
        connector=f'Use("redis", url={proxy.url!r}, timeout=1.0)',
    )
    tree = site.tree(workers=1)
    site.ended(site.push())
    for _ in range(size(2, 10)):
        if busy:
            site.started(site.push(seconds=0.3))
        else:
            site.store.quiet(5)
        proxy.freeze()
        n = site.push()
        frozen = boot_ns()
        books = site.ended(n, within=10)
        assert took(frozen, books.starts[n][0].at) < 3.0
    site.settle(10, extra_starts=0)
    assert not tree.events("worker.crashed")
    site.reached(tree)
    assert tree.stop() == 0


@pytest.mark.fault(43)
def test_a_slow_store_costs_no_lease_no_duplicate_and_no_storm_of_connections(site: Site, proxy: Proxy) -> None:
    site.app(
        f"tasks_per_transaction=8, recheck=1, lease={size(3, 30)}",
        connector=f'Use("redis", url={proxy.url!r}, timeout={size(0.5, 5)})',
    )
    tree = site.tree(workers=4)
    numbers = site.push_many([{"seconds": 0.01}] * size(300, 2000))
    site.started(numbers[10])
    before = proxy.connections
    proxy.delay(size(0.02, 0.2), chance=0.01, more=size(0.6, 5.2))
    site.ended(*numbers, within=size(40, 300))
    proxy.pass_on()
    books = site.settle(15, extra_starts=0)
    assert all(line.delivery == 0 for lines in books.starts.values() for line in lines)
    assert not tree.events("lease.lost")
    assert proxy.connections - before <= size(30, 200), "each slow answer costs one connection"
    site.reached(tree)
    assert tree.stop() == 0


@pytest.mark.fault(44)
def test_answers_that_are_cut_or_garbled_are_taken_for_nothing(site: Site, proxy: Proxy) -> None:
    chance = random.Random(44)
    site.app("tasks_per_transaction=8, recheck=0.2", connector=repr(proxy.url))
    tree = site.tree(workers=2)
    numbers: list[int] = []
    for turn in range(size(20, 200)):
        cuts = proxy.cuts
        if turn % 4:
            proxy.cut_after(chance.randrange(1500))
        else:
            proxy.garble(an_exchange)
        while proxy.cuts == cuts:
            numbers += site.push_many([{"seconds": 0.001}] * 10)
            site.ended(*numbers[-10:])
    site.settle(15, extra_starts=0)
    assert not site.store.dead()
    assert not tree.events("worker.crashed")
    site.reached(tree)
    assert tree.stop() == 0
