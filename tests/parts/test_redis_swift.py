"""Swift exchanges of Redis: they serve a busy worker, and whatever else happens to the queue is seen as if there were none."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))
from harness.servers import RedisServer
from regiment.contracts import Done, Settlement, Taken, Terms
from regiment.errors import Fenced
from regiment_redis.connector import RedisConnector
from regiment_redis.swift import _SCRIPT, PAUSE


class Worker:
    """A consumer that settles all that it holds and leases the next."""

    def __init__(self, store: RedisConnector, name: str = "w", lease: float = 30.0, limit: int = 1) -> None:
        self.store, self.name, self.limit = store, name, limit
        self.turn, self.base, self.held = 0, 1, 0
        store.join("q", name, Terms(lease=lease))

    def ask(self) -> Taken:
        """The exchange, whose settlement is that of all it holds."""
        done: list[Settlement] = [Done(self.base - self.held, self.base - 1)] if self.held else []
        return self.store.exchange("q", self.name, self.turn, self.base, done, self.limit, 8 << 20, True)

    def next(self) -> list[bytes]:
        """The payloads of the next batch."""
        self.turn += 1
        taken = self.ask()
        self.held = len(taken.deliveries)
        self.base += self.held
        return [d.payload for d in taken.deliveries]


def push(store: RedisConnector, *payloads: bytes, delay: float = 0.0, priority: int = 5) -> None:
    store.push("q", payloads, priority=priority, delay=delay, token=f"{time.monotonic_ns()}")


def named(*numbers: int) -> list[bytes]:
    return [b"%d" % number for number in numbers]


def looks_at_the_time(node: RedisServer) -> int:
    """How often scripts asked for the time: an ordinary exchange does, a swift one does not."""
    told = node.ask("INFO", "commandstats")
    text = told.decode() if isinstance(told, bytes) else str(told)
    return next(
        (int(line.split("calls=")[1].split(",")[0]) for line in text.splitlines() if "cmdstat_time:" in line), 0
    )


@pytest.mark.parametrize("limit", [1, 10])
def test_a_busy_worker_gets_every_task_once_and_in_order_by_swift_exchanges(
    node: RedisServer, store: RedisConnector, limit: int
) -> None:
    push(store, *named(*range(200)))
    worker = Worker(store, limit=limit)
    before = looks_at_the_time(node)
    found: list[bytes] = []
    while some := worker.next():
        found += some
    assert found == named(*range(200))
    assert looks_at_the_time(node) - before < 200 // limit / 2
    assert store.counts("q").ready == store.counts("q").leased == 0


def test_a_repeated_turn_gets_what_the_swift_exchange_had_leased(store: RedisConnector) -> None:
    push(store, *named(1, 2, 3))
    worker = Worker(store)
    assert worker.next() == [b"1"]
    assert worker.next() == [b"2"]
    worker.base -= worker.held
    again = worker.store.exchange("q", "w", worker.turn, worker.base, [Done(1, 1)], 1, 8 << 20, True)
    assert [(d.receipt, d.payload) for d in again.deliveries] == [(2, b"2")]
    assert store.counts("q").ready == 1 and store.counts("q").leased == 1


def test_a_task_of_higher_priority_is_the_next_one(store: RedisConnector) -> None:
    push(store, *named(1, 2, 3))
    worker = Worker(store)
    assert worker.next() == [b"1"]
    push(store, b"first", priority=0)
    assert worker.next() == [b"first"]
    push(store, b"first again", priority=0)
    assert worker.next() == [b"first again"]
    assert worker.next() == [b"2"]


def test_a_pause_holds_for_a_worker_that_is_busy(store: RedisConnector) -> None:
    push(store, *named(1, 2, 3))
    worker = Worker(store)
    assert worker.next() == [b"1"]
    version = store.post("q", paused=True)
    worker.turn += 1
    taken = worker.ask()
    assert not taken.deliveries and taken.board == version


def test_a_delayed_task_and_one_of_a_dead_worker_come_while_others_are_ready(store: RedisConnector) -> None:
    push(store, b"left")
    dead = Worker(store, "dead", lease=1.0)
    assert dead.next() == [b"left"]
    push(store, b"later", delay=0.3)
    push(store, *named(*range(1000)))
    worker, until, found = Worker(store, lease=30.0), time.monotonic() + 20, set[bytes]()
    while not found >= {b"left", b"later"} and time.monotonic() < until:
        some = worker.next()
        found.update(some)
        push(store, b"more")
    assert found >= {b"left", b"later"}


def test_a_worker_whose_task_was_given_back_is_told_and_settles_nothing(store: RedisConnector) -> None:
    push(store, *named(1, 2))
    worker = Worker(store)
    assert worker.next() == [b"1"]
    store.release("q", "w", [], {}, only=None, close=True)
    worker.turn += 1
    with pytest.raises(Fenced):
        worker.ask()
    assert store.counts("q").ready == 2


def test_a_batch_that_is_too_large_is_cut_at_the_bound(store: RedisConnector) -> None:
    push(store, *[b"s" * 100] * 10)
    worker = Worker(store, limit=10)
    assert len(worker.next()) == 10
    push(store, b"a" * 10, *[b"b" * 3_000_000] * 8, b"c" * 10)
    assert len(worker.next()) == 3
    assert store.counts("q").ready == 7


def test_a_server_that_forgot_its_scripts_is_given_them_again(node: RedisServer, store: RedisConnector) -> None:
    push(store, *named(*range(30)))
    worker = Worker(store)
    assert worker.next() == [b"0"]
    node.ask("SCRIPT", "FLUSH")
    assert [worker.next()[0] for _ in range(PAUSE + 2)] == named(*range(1, PAUSE + 3))
    assert node.ask("SCRIPT", "EXISTS", _SCRIPT.sha) == [1]
