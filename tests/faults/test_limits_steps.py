"""Limits where it hurts: a worker killed at each step from lease to settlement, many idle workers at a rate, a pool that is closed."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from harness.each_store import on_each_store
from harness.scale import FULL, size
from harness.site import LEASE, Site
from harness.tree import START
from harness.wait import children, eventually
from regiment.contracts import FOREVER, Done, Rule, Ticket
from regiment.task import new_id
from regiment_limits.stores import flowing
from regiment_testing.contracts.bench import Consumer
from regiment_testing.contracts.charged import worker

STEPS = {
    "leased, and the answer unknown": ("exchange+", "killed"),
    "begun": ("", "begin"),
    "ended, and nobody told": ("", "end"),
    "before it is settled": ("exchange", "unsent"),
    "settled, and the answer unknown": ("exchange-", "killed"),
}
"""Where a worker is killed, to the order of the store's connector, or to what its task does."""

BODY = """
import fcntl
from regiment_limits import Lane, Limits, Pool

@work.task(pool="crm", lane="one")
def call(n, dies=""):
    # A lock of the kernel, which ends with its process: two at a time meet here
    fd = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        write("T", n, os.getpid())
    begin(n)
    if dies == "begin" and not current().task.delivery_count:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.01)
    end(n)
    if dies == "end" and not current().task.delivery_count:
        os.kill(os.getpid(), signal.SIGKILL)
    os.close(fd)
"""
SETTINGS = (
    'plugins=[__import__("regiment_limits").Limits(pools={"crm": __import__("regiment_limits").Pool(lane='
    '__import__("regiment_limits").Lane(at_once=1))})], max_deliveries=1000, poison_delays=(0.0,), recheck=0.5, '
)


def imported(site: Site) -> Any:
    """The application, in this process."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("stepping_app", site.folder / "app.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.fault(86)
@on_each_store
@pytest.mark.parametrize("step", STEPS)
def test_a_worker_killed_at_any_step_leaves_its_lane_to_the_next_and_never_to_two(site: Site, step: str) -> None:
    site.app(SETTINGS, losing=True, body=f"LOCK = {str(site.folder / 'lock')!r}\n{BODY}")
    tree, kills = site.tree(workers=2), size(4, 200)
    app, (verb, how) = imported(site), STEPS[step]
    for number in range(kills):
        tree.ready(2)
        order = site.order(verb, how) if verb else None
        for n in (2 * number, 2 * number + 1):
            site.producer.write(f"I {n}")
            app.call.push(n=n, dies="" if verb or n % 2 else how)
            site.producer.write(f"A {n}")
        if order is not None:
            eventually(lambda order=order: not order.exists(), 20, site.logs)
        site.ended(2 * number, 2 * number + 1, within=LEASE + START)
    site.store.quiet(20)
    books = site.books()
    books.check(extra_starts=kills, extra_ends=kills)
    assert not [words for words in books.words if words[0] == "T"], "two ran at a time"
    store = flowing(site.queue.broker.open("duty"), "this test needs")
    assert store.recount("work") == []
    assert [one for one in store.standings("work") if one.running or one.waiting] == []


@contextmanager
def sleepers(site: Site, number: int, lease: float) -> Iterator[list[Consumer]]:
    """Idle consumers, each with a connection of its own, which nobody renews."""
    opened = [site.queue.broker.open("lease") for _ in range(number)]
    try:
        yield [worker(one, slots=1, queue="work", lease=lease) for one in opened]
    finally:
        for one in opened:
            one.close()


LATE = size(0.02, 0.0)
"""Seconds by which each consumer is late, so that a few seconds show what becomes of it; a minute shows it as it comes."""


@pytest.mark.fault(93)
@on_each_store
def test_many_idle_workers_at_a_rate_ask_little_and_keep_the_rate(site: Site) -> None:
    number, rate, seconds = 64, 10, size(6, 60)
    store = flowing(site.queue.broker.open("duty"), "this test needs")
    store.rule("work", ("crm", ""), Rule(rate=(rate, 1.0)))
    tasks, over = rate * seconds, threading.Event()
    leased: list[float] = []
    looks = itertools.count(1)

    def work(consumer: Consumer) -> None:
        settle: list[Done] = []
        while not over.is_set():
            taken = consumer.exchange(*settle, limit=1)
            next(looks)
            settle = [Done(one.receipt, one.receipt) for one in taken.deliveries]
            leased.extend(time.monotonic() for _ in taken.deliveries)
            if len(leased) >= tasks:
                over.set()
            if not taken.deliveries:
                consumer.wait(min(30.0 if taken.next_due is None else taken.next_due, 1.0 if over.is_set() else 30.0))
                time.sleep(LATE)

    with sleepers(site, number, lease=seconds * 4 + 60.0) as consumers:
        threads = [threading.Thread(target=partial(work, one), daemon=True) for one in consumers]
        for one in threads:
            one.start()
        time.sleep(1.0)  # all sleep
        before = next(looks)
        payloads = [f"{n}".encode() for n in range(tasks)]
        tickets = [Ticket("crm", "a", id=payload.decode()) for payload in payloads]
        store.admit("work", payloads, tickets, priority=1, token=new_id())
        assert over.wait(seconds * 3 + 30), f"{len(leased)} of {tasks} were leased"
        asked = next(looks) - before
        store.rule("work", ("crm", ""), None)
        store.push("work", [b"end"] * number, priority=1, token=new_id())  # whoever sleeps wakes
        for one in threads:
            one.join(30)
    span, due = max(leased[:tasks]) - min(leased[:tasks]), (tasks - 1) / rate
    print(f"{tasks} at {rate}/s in {span:.2f} s of {due:.1f}; {asked / tasks:.2f} exchanges a task")
    assert asked <= 4 * tasks + number, f"{asked / tasks:.1f} exchanges a task"
    assert span >= 0.99 * due - 0.75 / rate - 0.1, "faster than its rate"  # the first answer may come late
    assert span <= (1.01 if FULL else 1.08) * due, (
        f"{tasks} at {rate}/s took {span:.2f} s"
    )  # lateness added up would be 1.2


def used(pids: list[int]) -> float:
    """Seconds of CPU of living processes."""
    return sum(time.clock_gettime((~pid << 3) | 2) for pid in pids)  # clock_getcpuclockid(3) of another process


@pytest.mark.fault(94)
@on_each_store
def test_a_closed_pool_of_many_tasks_costs_no_more_than_an_idle_queue(site: Site) -> None:
    seconds = size(4, 30)
    site.app(SETTINGS, body=f"LOCK = {str(Path(site.folder / 'lock'))!r}\n{BODY}")
    tree = site.tree(workers=2)
    app = imported(site)
    app.call.push(n=1)
    site.ended(1)
    pids = [tree.pid, *children(tree.pid)]

    def over_a_while() -> float:
        time.sleep(1.0)
        begun = used(pids)
        time.sleep(seconds)
        return used(pids) - begun

    idle = over_a_while()
    store = flowing(site.queue.broker.open("duty"), "this test needs")
    store.gate("work", ("crm", ""), FOREVER)
    many = size(5_000, 100_000)
    app.call.push_many({"n": n} for n in range(2, many + 2))
    closed = over_a_while()
    assert store.flow("work", [("crm", "")])[0].waiting == many
    assert closed <= 2 * idle + 0.02 * seconds, f"{closed:.3f} s of CPU in {seconds} s; idle {idle:.3f}"
    assert set(pids) == {tree.pid, *children(tree.pid)}
