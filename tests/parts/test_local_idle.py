"""What an idle consumer of the SQLite store costs: it looks again now and then, and writes nothing as long as nothing is there."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from regiment.contracts import Delivery, Fenced, Taken, Terms
from regiment.task import new_id
from regiment_local.local import LocalConnector

BYTES = 1 << 20


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "queue.db")


@pytest.fixture
def worker(path: str) -> Iterator[LocalConnector]:
    with closing(LocalConnector(path=path)) as made:
        made.open("lease")
        made.join("q", "me", Terms(lease=30))
        yield made


def ask(worker: LocalConnector, turn: int) -> Taken:
    return worker.exchange("q", "me", turn, 1, (), 10, BYTES, True)


def push(path: str, *payloads: bytes, delay: float = 0.0) -> None:
    with closing(LocalConnector(path=path)) as producer:
        producer.open("push")
        producer.push("q", payloads, priority=1, token=new_id(), delay=delay)


def version(handle: sqlite3.Connection) -> int:
    return int(handle.execute("PRAGMA data_version").fetchone()[0])


def test_a_consumer_that_finds_nothing_again_and_again_writes_nothing(worker: LocalConnector, path: str) -> None:
    ask(worker, 1)
    with closing(sqlite3.connect(path)) as other:
        before = version(other)
        for turn in range(2, 20):
            assert not ask(worker, turn).deliveries
        assert version(other) == before


def test_turns_go_on_behind_those_that_were_not_written(worker: LocalConnector, path: str) -> None:
    for turn in (1, 2, 3):
        ask(worker, turn)
    assert not ask(worker, 3).deliveries, "a repeat is answered as before"
    push(path, b"one")
    assert ask(worker, 4).deliveries == [Delivery(1, b"one")]
    assert ask(worker, 4).deliveries == [Delivery(1, b"one")]
    with pytest.raises(Fenced, match="sent turn"):
        ask(worker, 6)


def test_a_repeat_of_an_unwritten_turn_leases_nothing_and_the_next_turn_does(worker: LocalConnector, path: str) -> None:
    ask(worker, 1)
    ask(worker, 2)
    push(path, b"one")
    assert not ask(worker, 2).deliveries
    assert ask(worker, 3).deliveries == [Delivery(1, b"one")]


def test_a_task_whose_call_was_lost_is_found_at_the_next_look(worker: LocalConnector, path: str) -> None:
    ask(worker, 1)
    ask(worker, 2)
    push(path, b"one")
    with closing(sqlite3.connect(path, isolation_level=None)) as thief:
        assert worker._pipe is not None
        thief.execute("INSERT OR REPLACE INTO waiters VALUES ('queue:q', ?, NULL)", (worker._pipe.name,))
    assert ask(worker, 3).deliveries == [Delivery(1, b"one")]


def test_a_task_that_came_due_is_found_at_the_next_look(worker: LocalConnector, path: str) -> None:
    ask(worker, 1)
    push(path, b"late", delay=1.0)
    due = ask(worker, 2).next_due
    assert due is not None and due <= 1.0
    time.sleep(due + 0.01)  # the delay is the test
    assert ask(worker, 3).deliveries == [Delivery(1, b"late")]


def test_what_an_overdue_consumer_held_is_found_at_the_next_look(worker: LocalConnector, path: str) -> None:
    push(path, b"one")
    with closing(LocalConnector(path=path)) as dead:
        dead.open("lease")
        dead.join("q", "dead", Terms(lease=0.2))
        assert dead.exchange("q", "dead", 1, 1, (), 1, BYTES, True).deliveries
        ask(worker, 1)
        assert not ask(worker, 2).deliveries
        time.sleep(0.25)  # the lease
        assert ask(worker, 3).deliveries == [Delivery(1, b"one", 1)]


def test_a_consumer_that_was_closed_meanwhile_is_told(worker: LocalConnector, path: str) -> None:
    ask(worker, 1)
    ask(worker, 2)
    with closing(LocalConnector(path=path)) as keeper:
        keeper.open("keep")
        keeper.release("q", "me", (), {}, close=True)
    with pytest.raises(Fenced):
        ask(worker, 3)
