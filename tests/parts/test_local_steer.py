"""The operator's hand in the SQLite file and in memory, as far as it is their own: old files, ages, steps, kills, what it costs."""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.scale import seeds, size
from regiment.contracts import Back, Board, Done, Park, Role, Steered, Terms, steer
from regiment.errors import StoreError
from regiment_local import schema, steering
from regiment_local.local import LocalConnector
from regiment_local.memory import MemoryConnector
from regiment_testing.contracts.bench import Child, Consumer, fresh, push, until
from regiment_testing.contracts.hand import WAITING, drained, numbered, payloads, places, walk

Store = LocalConnector | MemoryConnector
Open = Callable[[Role], LocalConnector]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store" / "queue.db"


@pytest.fixture
def open(path: Path) -> Iterator[Open]:
    opened: list[LocalConnector] = []

    def opener(role: Role) -> LocalConnector:
        opened.append(LocalConnector(path=str(path)))
        opened[-1].open(role)
        return opened[-1]

    yield opener
    for connector in opened:
        connector.close()


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, path: Path) -> Iterator[Store]:
    made = LocalConnector(path=str(path)) if request.param == "local" else MemoryConnector(name=str(path))
    made.open("lease")
    yield made
    made.close()


def rows(path: Path, statement: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as db, db:
        return db.execute(statement).fetchall()


def traced(store: LocalConnector) -> list[str]:
    """The statements that it executes from now on, each in one line."""
    log: list[str] = []
    assert store._database is not None and store._database.handle is not None
    store._database.handle.set_trace_callback(lambda statement: log.append(" ".join(statement.split())))
    return log


# the file

OURS = "SELECT name FROM sqlite_master WHERE name IN ('noticed', 'orders', 'acts') ORDER BY name"


def test_a_file_without_notices_has_no_table_of_them_and_reads_as_empty(open: Open, path: Path) -> None:
    store, look = open("push"), open("look")
    push(store, "q", b"a", b"b")
    store.post("q", paused=True, clear=["nobody"])
    store.steer("q", places(look, b"b"), priority=0)
    assert rows(path, OURS) == []
    assert look.board("q") == Board(1, True) and look.acts("q") == []
    store.post("q", orders={"host:a": "quiet"})
    assert rows(path, OURS) == [("acts",), ("noticed",), ("orders",)]
    assert look.board("q").orders == {"host:a": "quiet"}, "who had it open before sees the new tables"


def test_an_absent_file_reads_as_empty_and_stays_absent(open: Open, path: Path) -> None:
    look = open("look")
    assert (look.look("q", "ready").tasks, look.board("q"), look.acts("q")) == ([], Board(), [])
    with pytest.raises(StoreError, match="opened to look"):
        look.steer("q", ["r1"], drop=True)
    assert not path.exists()


def test_a_release_that_does_not_know_the_hand_goes_on_with_a_file_that_was_steered(open: Open, path: Path) -> None:
    """The layout's number is as it was, the old tables are as they were, and what it cancels and clears counts."""
    store = open("push")
    tables = "SELECT name, sql FROM sqlite_master ORDER BY name"
    old = rows(path, tables)
    store.post("q", cancel=["a", "b"], orders={"host:a": "quiet"})
    store.act("q", b"{}", token=fresh())
    assert set(old) <= set(rows(path, tables))
    assert rows(path, "PRAGMA user_version") == [(schema.LAYOUT,)] == [(1,)]
    [(queue,)] = rows(path, "SELECT no FROM queues")
    rows(path, f"INSERT OR IGNORE INTO cancelled VALUES ({queue}, 'of the old one')")
    rows(path, f"DELETE FROM cancelled WHERE queue = {queue} AND id = 'a'")
    assert store.board("q").cancelled == {"b", "of the old one"}
    rows(path, "UPDATE noticed SET at = 0 WHERE id = 'a'")
    store.post("q", cancel=["c"])
    assert store.board("q").cancelled == {"b", "of the old one", "c"}
    store.post("q", cancel=["a"])
    assert store.board("q").cancelled == {"a", "b", "of the old one", "c"}, "the time it had before is not its own"
    assert sorted(id for (id,) in rows(path, "SELECT id FROM noticed")) == ["a", "b", "c", "of the old one"]


def test_a_board_that_an_older_release_has_overfilled_can_be_emptied(open: Open, path: Path, monkeypatch: Any) -> None:
    store = open("push")
    store.post("q", cancel=[str(n) for n in range(20)])
    monkeypatch.setattr(steer, "MOST_NOTICES", 10)
    with pytest.raises(StoreError, match="21 cancelled ids would stand on the board of queue 'q'; expected at most 10"):
        store.post("q", cancel=["more"])
    store.post("q", paused=True, clear=["0", "1"])
    store.post("q", cancel=["more"], clear=["2"])
    assert len(store.board("q").cancelled) == 18 and store.board("q").paused


# bounds and ages


def age(store: Store, path: Path, seconds: float) -> None:
    """As if everything that was noted had been noted so much earlier."""
    if isinstance(store, MemoryConnector):
        queue = store._store().queue("q")
        queue.cancelled = {id: at - seconds for id, at in queue.cancelled.items()}
        kept = queue.acts._by_token
        queue.acts._by_token = {token: act._replace(at=act.at - seconds) for token, act in kept.items()}
    else:
        rows(path, f"UPDATE noticed SET at = at - {seconds}")
        rows(path, f"UPDATE acts SET at = at - {seconds}")


def test_a_cancelled_id_is_taken_off_the_board_after_its_time(store: Store, path: Path) -> None:
    store.post("q", cancel=["old", "again"])
    age(store, path, steer.NOTICE_AGE / 2 + 60)
    version = store.post("q", cancel=["new", "again"])
    age(store, path, steer.NOTICE_AGE / 2)
    assert store.board("q").cancelled == {"new", "again"}, "who is cancelled again has its time anew"
    assert store.post("q", cancel=["new"]) == version + 1 == store.post("q", cancel=["new"]), "one change: it went"
    age(store, path, steer.NOTICE_AGE)
    assert store.board("q").cancelled == frozenset()


def test_what_is_old_takes_no_room_on_a_board(store: Store, path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(steer, "MOST_NOTICES", 3)
    store.post("q", cancel=["a", "b", "c"])
    with pytest.raises(StoreError, match="at most 3"):
        store.post("q", cancel=["d"])
    age(store, path, steer.NOTICE_AGE + 1)
    store.post("q", cancel=["d", "e", "f"])
    assert store.board("q").cancelled == {"d", "e", "f"}


def test_the_oldest_acts_go(store: Store, path: Path, monkeypatch: Any) -> None:
    """When there are too many, and when their time is over; a token that went with its act is new again."""
    monkeypatch.setattr(steer, "MOST_ACTS", 5)
    store.act("other", b"{}", token="0")
    for n in range(8):
        store.act("q", b"%d" % n, token=str(n))
    assert [act.entry for act in store.acts("q")] == [b"7", b"6", b"5", b"4", b"3"]
    assert store.acts("q", after="1") == [] and len(store.acts("other")) == 1
    store.act("q", b"0 again", token="0")
    store.act("q", b"no", token="7")
    assert [act.entry for act in store.acts("q")] == [b"0 again", b"7", b"6", b"5", b"4"]
    age(store, path, steer.ACT_AGE + 1)
    assert store.acts("q") == []
    store.act("q", b"7 again", token="7")
    assert [act.entry for act in store.acts("q")] == [b"7 again"]


# bad input


def test_what_cannot_be_meant_is_said_in_words(store: Store) -> None:
    push(store, "q", b"a", b"b")
    [after] = [store.look("q", "ready", 1).after]
    with pytest.raises(ValueError, match="state is 'dead'; expected 'ready', 'delayed' or 'leased'"):
        store.look("q", "dead")  # type: ignore[arg-type]
    for wrong in (
        "",
        "x",
        "[]",
        "7",
        '["ready"]',
        "null",
        '["ready", "a", 1]',
        f'["ready", 1, {2**63}]',
        '["ready", 1, 1, 1]',
    ):
        with pytest.raises(ValueError, match="expected what a look at ready tasks gave as `after`, or None"):
            store.look("q", "ready", after=wrong)
    with pytest.raises(ValueError, match="a look at delayed tasks gave"):
        store.look("q", "delayed", after=after)
    with pytest.raises(ValueError, match="steer got neither drop nor a change; expected drop=True alone, or priority"):
        store.steer("q", [])
    with pytest.raises(ValueError, match=r"the act has 4,097 bytes; expected at most 4,096. Nothing was kept"):
        store.act("q", b"x" * 4097, token="t")
    for nothing in (0, -1):
        assert store.look("q", "ready", nothing).tasks == []
        assert store.acts("q", nothing) == []
    odd = ["r", "d1", "d1@x", "r1@1.0", "r-1", "r" + "9" * 30, "r٣", "l0", "d1@nan", "r18446744073709551616"]
    assert store.steer("q", odd, drop=True) == []


# what it costs


def test_an_exchange_runs_the_statements_it_always_ran(open: Open) -> None:
    """Also at a queue that was looked at and steered, once what was passed by has been leased."""
    store = open("lease")
    push(store, "q", *numbered(0, 20))
    worker = Consumer(store)
    for _ in range(3):
        log = traced(store)
        worker.exchange(Done(worker.next - 1, worker.next - 1), limit=1)
        assert [" ".join(line.split()[:3]) for line in log if not line.startswith("DELETE")] == [
            "BEGIN IMMEDIATE",
            "SELECT c.no, c.state,",
            "SELECT no, head,",
            "SELECT id -",
            "UPDATE lanes SET",
            "UPDATE consumers SET",
            "COMMIT",
        ]
        store.steer("q", places(store, walk(store)[2].payload), drop=True)
        store.act("q", b"{}", token=fresh())
        store.post("q", cancel=["x"], orders={"host:a": "quiet"})
        worker.take(2)


def test_one_step_goes_through_few_tasks_and_lets_others_in_between(open: Open, monkeypatch: Any) -> None:
    """Whoever leases between two steps finds everything in its order."""
    store, other = open("push"), open("lease")
    tasks = numbered(0, 200)
    push(store, "q", *tasks)
    worker, leased = Consumer(other), list[bytes]()
    monkeypatch.setattr(steer, "STEP", 10)

    def pause(seconds: float) -> None:
        assert seconds > 0
        leased.extend(worker.payloads(3))
        assert payloads(other) == [task for task in tasks if task not in leased]

    fake = SimpleNamespace(sleep=pause, time=time.time, monotonic=time.monotonic)
    monkeypatch.setattr(steering, "time", fake)
    log = traced(store)
    assert len(store.steer("q", places(open("look"), tasks[150], tasks[100]), drop=True)) == 2
    steps = log.count("BEGIN IMMEDIATE")
    assert steps >= 10 and leased == tasks[: 3 * (steps - 1)]
    rest = [task for task in tasks if task not in leased and task not in (tasks[100], tasks[150])]
    assert payloads(other) == rest == drained(worker, 7)


def test_what_was_deleted_by_hand_leaves_one_row_at_most(open: Open, path: Path) -> None:
    store = open("push")
    for _ in range(5):
        push(store, "q", *numbered(0, 20), delay=600)
        push(store, "q", *numbered(0, 20))
        for state in WAITING:
            store.steer("q", [task.place for task in walk(store, state)], drop=True)
        push(store, "q", b"a", b"b", delay=600)
        store.purge("q")
    assert rows(path, "SELECT (SELECT count(*) FROM tasks), (SELECT count(*) FROM front)") == [(0, 0)]
    assert rows(path, "SELECT queue, payload FROM delayed") == [(0, b"")]
    assert store.queues() == [] and store.counts("q").delayed == 0


# faults


@pytest.mark.fault(83)
def test_kills_in_the_middle_of_steering_lose_and_double_nothing(open: Open, path: Path) -> None:
    """Each child moves and deletes tasks all over the queue until it is killed at some moment."""
    store, number = open("lease"), 3000
    tasks = numbered(0, number)
    push(store, "q", *tasks)
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    moments = random.Random(seed)
    for turn in range(size(6, 60)):

        def work(turn: int = turn) -> None:
            hand, chance = open("push"), random.Random(seed + turn)
            while True:
                there = [task.place for state in WAITING for task in walk(hand, state, 1000, holding=b"0")]
                for what in ({"priority": chance.randrange(3)}, {"delay": 600.0}, {"delay": 0.0}):
                    hand.steer("q", chance.sample(there, min(40, len(there))), **what)  # type: ignore[arg-type]

        child = Child(work)
        time.sleep(moments.uniform(0.05, 0.3))
        child.kill()
        found = [task.payload for state in WAITING for task in walk(store, state, 1000)]
        assert sorted(found) == tasks
        counts = store.counts("q")
        assert counts.ready + counts.delayed == number
    store.steer("q", [task.place for task in walk(store, "delayed", 1000)], delay=0)
    assert sorted(drained(Consumer(store), 500)) == tasks
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]


# against the memory store


def picture(store: Steered) -> list[Any]:
    """What there is, without places and times."""
    seen: list[Any] = [
        (t.state, t.payload, t.priority, t.count, t.note, t.parked > 0, t.consumer, t.receipt)
        for state in ("ready", "delayed", "leased")
        for t in walk(store, state)  # type: ignore[arg-type]
    ]
    counts = store.counts("q")._replace(oldest=None)
    return [*seen, counts, sorted(store.queues())]


@pytest.mark.parametrize("seed", seeds(2, 200))
def test_the_file_and_the_memory_do_the_same(seed: int, open: Open, path: Path) -> None:
    """In any order of pushes, leases, returns, deaths, purges and the hand's doings."""
    chance = random.Random(seed)
    memory = MemoryConnector(name=str(path))
    memory.open("lease")
    both: list[Any] = [open("lease"), memory]
    workers = [
        [Consumer(store, name=f"w{n}", terms=Terms(poison_delays=(0.0, 5e6))) for store in both] for n in range(3)
    ]
    far, number = 10_000.0, 0

    def pushed() -> None:
        nonlocal far, number
        some = numbered(number, number + chance.randrange(1, 8))
        number, far = number + len(some), far + 1000
        delay, priority = chance.choice([0.0, 0.0, far]), chance.randrange(3)
        for store in both:
            push(store, "q", *some, priority=priority, delay=delay)

    def exchanged() -> None:
        pair, limit = chance.choice(workers), chance.randrange(6)
        held = [task.receipt for task in walk(memory, "leased") if task.consumer == pair[0].name]
        kinds = [Done, Back, Park]
        settled: list[Any] = []
        for receipt in held:
            kind = chance.choice([*kinds, None, None])
            if kind is not None:
                settled.append(Park(receipt or 0, far) if kind is Park else kind(receipt, receipt))
        for worker in pair:
            worker.exchange(*settled, limit=limit)

    def released() -> None:
        pair = chance.choice(workers)
        held = [task.receipt or 0 for task in walk(memory, "leased") if task.consumer == pair[0].name]
        suspects = {receipt: b"note" for receipt in held if chance.random() < 0.3}
        for worker in pair:
            worker.release([(r, r) for r in held[:1]], suspects)

    def steered() -> None:
        nonlocal far
        far += 1000
        there = [walk(store, "ready") + walk(store, "delayed") + walk(store, "leased") for store in both]
        chosen = chance.sample(range(len(there[0])), min(len(there[0]), chance.randrange(1, 9)))
        what = chance.choice(
            [{"drop": True}, {"priority": chance.randrange(4)}, {"delay": 0.0}, {"delay": far, "priority": 1}]
        )
        if what.get("delay"):
            chosen = chosen[:1]  # of several with one due time, none is the first
        parts = [[n] for n in chosen] if chance.random() < 0.5 else [chosen]
        for part in parts:
            asked = [[seen[n].place for n in part] for seen in there]
            done = [store.steer("q", some, **what) for store, some in zip(both, asked, strict=True)]
            assert list(map(asked[0].index, done[0])) == list(map(asked[1].index, done[1]))

    def purged() -> None:
        assert len({store.purge("q") for store in both}) == 1

    for _ in range(120):
        does = [pushed, pushed, exchanged, exchanged, released, steered, steered]
        chance.choice([*does, *does, *does, purged])()
        assert picture(both[0]) == picture(memory)
    memory.close()


def test_a_waiting_worker_of_another_process_is_woken_by_the_hand(open: Open) -> None:
    store = open("push")
    push(store, "q", b"a", delay=600)

    def work() -> list[bytes]:
        worker = Consumer(open("lease"))
        assert worker.payloads() == []
        worker.wait(60)
        return worker.payloads()

    child = Child(work)
    until(lambda: rows(Path(store.path), "SELECT 1 FROM waiters"))
    store.steer("q", places(store, b"a", state="delayed"), delay=0)
    assert child.answer() == [b"a"]
    assert os.path.exists(store.path)
