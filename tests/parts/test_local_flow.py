"""The extra `flow` in the SQLite file, as far as it is SQLite's own: old files, old releases, kills, turns of statements, room."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from regiment.contracts import FOREVER, Again, Back, Done, Join, Role, Rule, Seal, Send, Ticket
from regiment.errors import StoreError
from regiment_local import laying, schema
from regiment_local.local import LocalConnector
from regiment_testing.contracts.bench import Child, Consumer, fresh, push
from regiment_testing.contracts.charged import ACME, CRM, FAR, admit, numbers, right, rule, worker

Opener = Callable[[Role], LocalConnector]
OURS = "SELECT count(*) FROM sqlite_master WHERE name IN ('spots', 'rings', 'strands', 'lined', 'timed', 'watchers')"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "queue.db"


@pytest.fixture
def opened(path: Path) -> Iterator[Opener]:
    stores: list[LocalConnector] = []

    def open(role: Role) -> LocalConnector:
        store = LocalConnector(path=str(path))
        store.open(role)
        stores.append(store)
        return store

    yield open
    for store in stores:
        store.close()


def rows(path: Path, statement: str) -> list[tuple[Any, ...]]:
    db = sqlite3.connect(path)
    try:
        return db.execute(statement).fetchall()
    finally:
        db.close()


def traced(store: LocalConnector) -> list[str]:
    """The statements that it executes from now on, each in one line."""
    log: list[str] = []
    assert store._database is not None and store._database.handle is not None
    store._database.handle.set_trace_callback(lambda statement: log.append(" ".join(statement.split())))
    return log


# the file


def test_a_file_without_a_ticket_keeps_the_layout_that_older_releases_know(opened: Opener, path: Path) -> None:
    store = opened("lease")
    push(store, "q", b"a")
    assert Consumer(store).payloads() == [b"a"]
    store.flow("q", [("", ""), ACME])  # a look makes no table
    store.standings("q")
    assert store.ticket("q", b"a") is None and list(store.recount("q")) == []
    assert rows(path, OURS) == [(0,)] and rows(path, "PRAGMA user_version") == [(schema.LAYOUT,)] == [(1,)]


@pytest.mark.parametrize("first", ["ticket", "rule", "gate", "send"])
def test_the_first_use_migrates_a_file_with_all_that_it_holds(opened: Opener, path: Path, first: str) -> None:
    """Ready, delayed, leased and dead tasks of an older release go on; and are counted from then on."""
    store, other = opened("lease"), opened("lease")
    push(store, "q", b"a", b"b", b"c")
    push(store, "q", b"later", delay=FAR)
    busy = worker(other)
    assert busy.payloads(1) == [b"a"]
    before = rows(path, "SELECT id, payload FROM tasks ORDER BY id")
    uses: dict[str, Callable[[], Any]] = {
        "ticket": lambda: admit(store, b"new"),
        "rule": lambda: rule(store, CRM, Rule(at_once=1)),
        "gate": lambda: store.gate("q", ACME, FOREVER),
        "send": lambda: store.apply("q", [Send("q", [b"new"], tickets=[Ticket(*ACME)])], token=fresh()),
    }
    uses[first]()
    assert rows(path, "PRAGMA user_version") == [(schema.FLOW_LAYOUT,)] == [(2,)]
    assert rows(path, "SELECT id, payload FROM tasks WHERE id > 0 ORDER BY id") == before
    new = first in ("ticket", "send")
    assert numbers(store, ("", "")) == [(3 + new, 1)]
    found = [payload for _ in range(4) for payload in busy.payloads(1)]
    assert [p for p in found if p != b"new"] == [b"b", b"c"] and (b"new" in found) == new
    busy.exchange(Done(1, 9), limit=0)
    right(store)


def test_a_step_that_sends_the_first_ticket_counts_its_own_lease(opened: Opener) -> None:
    """And whoever made the step is not left asleep beside what it sent."""
    store = opened("lease")
    push(store, "q", b"a", b"b")
    consumer = worker(store)
    consumer.take(2)
    taken = consumer.exchange(Done(1, 1), effects={1: [Send("q", [b"c"], tickets=[Ticket(*ACME)])]})
    assert taken.deliveries or taken.next_due == 0.0
    assert numbers(store, ("", "")) == [(1, 1)]
    assert consumer.payloads() == [b"c"]
    right(store)


def test_a_release_that_knows_an_older_layout_refuses_the_file(
    opened: Opener, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the words that it has for any newer one."""
    admit(opened("push"), b"a")
    monkeypatch.setattr(laying.schema, "FLOW_LAYOUT", 1)
    for role in ("push", "look"):
        with pytest.raises(StoreError, match="has layout 2, made by a newer regiment; this one knows layout 1"):
            opened(role)  # type: ignore[arg-type]


def test_a_first_ticket_that_is_refused_leaves_the_file_as_it_was(opened: Opener, path: Path) -> None:
    store = opened("push")
    push(store, "q", b"a")
    with pytest.raises(ValueError, match="1 tickets for 2 payloads"):
        store.apply("q", [Send("q", [b"x", b"y"], tickets=[Ticket()])], token="t")
    assert rows(path, "PRAGMA user_version") == [(1,)] and rows(path, OURS) == [(0,)]
    assert admit(store, b"b") == [] and rows(path, "PRAGMA user_version") == [(2,)]


# what it costs

FORMER = (
    "SELECT c.no, c.state",
    "DELETE FROM tasks WHERE id BETWEEN",
    "SELECT no, head, front FROM lanes",
    "SELECT id -",
    "UPDATE lanes SET head = head +",
    "UPDATE consumers SET turn",
)


def test_a_queue_that_has_never_seen_a_ticket_runs_the_statements_it_ran(opened: Opener) -> None:
    """Also in a file where another queue counts."""
    store = opened("lease")
    admit(store, b"x", queue="counts")
    push(store, "q", b"a", b"b")
    consumer = Consumer(store)
    consumer.take()
    log = traced(store)
    assert [d.payload for d in consumer.take(1, Done(1, 1))] == [b"b"]
    assert [line for line in log if line not in ("BEGIN IMMEDIATE", "COMMIT")] == [
        line for line in log if line.startswith(FORMER)
    ]
    assert len(log) == len(FORMER) + 2
    log.clear()
    push(store, "q", b"c")
    assert not any(word in line for line in log for word in ("spot", "paused", "strand"))


@pytest.mark.parametrize("closed", ["gate", "at_once", "rate"])
def test_an_exchange_runs_as_many_statements_beside_a_thousand_closed_lanes_as_beside_one(
    opened: Opener, closed: str
) -> None:
    """Blocked lanes stand in no turn: nothing is looked through."""
    store = opened("lease")
    rules = {"gate": Rule(), "at_once": Rule(lanes=Rule(at_once=1)), "rate": Rule(lanes=Rule(rate=(1, FAR)))}
    rule(store, CRM, rules[closed])

    def statements() -> int:
        admit(store, b"x", b"y", b"z", to=("erp", "open"))
        consumer = worker(store)
        consumer.take()
        log = traced(store)
        assert [d.payload for d in consumer.take(1, Done(1, 1))] == [b"y"]
        consumer.exchange(Done(2, 2), limit=0)
        consumer.release([], {}, close=True)
        number = len(log)
        last = worker(store)
        assert last.payloads() == [b"z"]
        last.exchange(Done(1, 1), limit=0)
        return number

    def more(first: int, number: int) -> None:
        names = [f"lane {n}" for n in range(first, first + number)]
        store.admit("q", [b"1"] * 2 * number, [Ticket("crm", n) for n in names * 2], priority=0, token=fresh())
        for name in names if closed == "gate" else ():
            store.gate("q", ("crm", name), FOREVER)
        assert len(busy.take(5000)) == (0 if closed == "gate" else number) and not busy.take(9)

    busy = worker(store)
    more(0, 1)
    few = statements()
    more(1, 999)
    assert statements() <= few
    right(store)


def test_an_idle_lane_costs_nothing(opened: Opener, path: Path) -> None:
    store = opened("lease")
    admit(store, b"a")
    tables = ("tasks", "spots", "strands", "rings", "lined", "timed", "delayed")
    consumer = worker(store)
    consumer.take()
    consumer.exchange(Done(1, 1), limit=0)
    for n in range(300):
        admit(store, b"x", to=("crm", f"lane {n}"), unique=f"key {n}")
    while batch := consumer.take(100):
        consumer.exchange(Done(batch[0].receipt, batch[-1].receipt), limit=0)
    assert {table: rows(path, f"SELECT count(*) FROM {table}")[0][0] for table in tables} == {
        **dict.fromkeys(tables, 0),
        "spots": 1,
    }


def test_a_rate_that_is_over_is_forgotten(opened: Opener, path: Path) -> None:
    """Its lane is gone when the time is, that it kept."""
    store = opened("lease")
    rule(store, CRM, Rule(lanes=Rule(rate=(100, 1.0))))
    for n in range(5):
        admit(store, b"x", to=("crm", f"lane {n}"))
    consumer = worker(store)
    assert len(consumer.take(9)) == 5
    consumer.exchange(Done(1, 5), limit=0)
    time.sleep(0.1)
    consumer.take()
    assert rows(path, "SELECT pool, lane FROM spots ORDER BY pool, lane") == [("", ""), ("crm", "")]


def test_a_look_at_what_may_not_go_writes_nothing(opened: Opener) -> None:
    """A worker that asks again, as it does every few seconds, does so without a transaction that writes."""
    store = opened("lease")
    rule(store, ACME, Rule(at_once=1))
    admit(store, b"a", b"b")
    busy = worker(opened("lease"), lease=FAR)
    assert busy.payloads() == [b"a"]
    idle = worker(store, lease=FAR)
    assert not idle.take()
    log = traced(store)
    assert not idle.take() and not idle.take()
    assert "BEGIN IMMEDIATE" not in log and "BEGIN" in log
    busy.exchange(Done(1, 1), limit=0)
    assert idle.payloads() == [b"b"]


# faults


def test_a_kill_at_any_moment_leaves_counts_that_are_right(opened: Opener, path: Path) -> None:
    """Of one who pushes, leases, settles and gives back as fast as it can; and nothing is lost of what it was told."""

    def work() -> None:
        store = LocalConnector(path=str(path))
        store.open("lease")
        consumer = worker(store, lease=0.3)
        number = 0
        while True:
            number += 1
            admit(store, b"%d %d" % (os.getpid(), number), to=("crm", f"l{number % 7}"), unique=f"k{number % 5}")
            for d in consumer.take(3):
                one = (Done, Back)[number % 2](d.receipt, d.receipt) if number % 3 else Again(d.receipt, b"again", 0.0)
                consumer.exchange(one, limit=0)

    store = opened("lease")
    rule(store, CRM, Rule(lanes=Rule(at_once=2)))
    for n in range(8):
        child = Child(work)
        time.sleep(0.15 + 0.05 * n)
        child.kill()
        right(store)
    watcher, end = worker(store, lease=FAR), time.monotonic() + 30
    while numbers(store, ("", "")) != [(0, 0)]:
        assert time.monotonic() < end, "what the dead ones held comes back when their leases are over"
        batch = watcher.take(100)
        watcher.exchange(*[Done(d.receipt, d.receipt) for d in batch], limit=0)
    assert numbers(store, CRM) == [(0, 0)]
    right(store)


def test_a_wrong_count_is_found_and_put_right(opened: Opener, path: Path) -> None:
    """So that a bug, or a hand in the file, does not close a lane for ever."""
    store = opened("lease")
    rule(store, ACME, Rule(at_once=2))
    admit(store, b"a", b"b")
    db = sqlite3.connect(path)
    db.execute("UPDATE spots SET running = 2, waiting = 7 WHERE lane = 'acme'")
    db.commit()
    db.close()
    consumer = worker(store)
    assert not consumer.take()
    assert list(store.recount("q")) == [(ACME, 2, 0)] and list(store.recount("q")) == []
    assert consumer.payloads() == [b"a", b"b"]


def test_what_a_join_sends_keeps_its_tickets(opened: Opener) -> None:
    """They are stored with it until it completes."""
    store = opened("lease")
    then = [Send("q", [b"a", b"b"], tickets=[Ticket(*ACME, "key", id="1"), Ticket("erp")]), Send("q", [b"plain"])]
    store.apply("q", [Join("q", "join", None, then, 60.0)], token=fresh())
    store.apply("q", [Seal("q", "join", 0)], token=fresh())
    assert store.ticket("q", b"a") == Ticket(*ACME, "key", id="1")
    assert store.ticket("q", b"b") == Ticket("erp") and store.ticket("q", b"plain") is None
    assert numbers(store, ("", ""), CRM, ("erp", "")) == [(3, 0), (1, 0), (1, 0)]
