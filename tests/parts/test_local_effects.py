"""Effects in the SQLite file, as far as they are SQLite's own: old files, room, kills, marks and their FIFOs, forks, costs."""

from __future__ import annotations

import errno
import os
import random
import sqlite3
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import pytest

from harness.scale import size
from regiment.contracts import (
    Applied,
    Arrive,
    Delivery,
    Done,
    Effect,
    Effective,
    Join,
    Keep,
    Record,
    Role,
    Seal,
    Send,
    Shut,
    Tally,
    Terms,
    When,
)
from regiment.errors import QueueFull, StoreUnavailable
from regiment_local import following, records, schema
from regiment_local.local import LocalConnector
from regiment_testing.contracts.bench import Child, fresh, push, until

MIB = 1 << 20


class Place:
    """A path, and connectors on it that are closed at the end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.opened: list[LocalConnector] = []

    def open(self, role: Role) -> LocalConnector:
        connector = LocalConnector(path=str(self.path))
        connector.open(role)
        self.opened.append(connector)
        return connector

    def rows(self, statement: str) -> list[tuple[object, ...]]:
        db = sqlite3.connect(self.path)
        try:
            return db.execute(statement).fetchall()
        finally:
            db.close()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path / "store" / "queue.db")
    yield made
    for connector in made.opened:
        connector.close()


def apply(store: Effective, *effects: Effect, when: Sequence[When] = ()) -> Applied:
    return store.apply("q", effects, token=fresh("token"), when=when)


def values(store: Effective, *keys: str) -> list[bytes | None]:
    return [record and record.value for record in store.records("q", keys)]


class Worker:
    """A consumer that settles with effects."""

    def __init__(self, store: LocalConnector, name: str | None = None) -> None:
        self.store, self.name, self.turn, self.next = store, name or fresh(), 0, 1
        store.join("q", self.name, Terms())

    def exchange(
        self, limit: int, *done: Done, effects: Mapping[int, Sequence[Effect]] | None = None
    ) -> Sequence[Delivery]:
        """What it leases."""
        taken = self.store.exchange(
            "q", self.name, self.turn + 1, self.next, done, limit, 8 * MIB, effects=effects or {}
        )
        self.turn += 1
        self.next += len(taken.deliveries)
        return taken.deliveries


def traced(store: LocalConnector) -> list[str]:
    """The statements that it executes from now on, each in one line."""
    log: list[str] = []
    handle(store).set_trace_callback(lambda statement: log.append(" ".join(statement.split())))
    return log


def handle(store: LocalConnector) -> sqlite3.Connection:
    assert store._database is not None and store._database.handle is not None
    return store._database.handle


# the file


def test_a_file_without_effects_has_no_table_of_them_and_reads_as_empty(place: Place) -> None:
    store = place.open("lease")
    push(store, "q", b"a")
    worker = Worker(store)
    worker.exchange(1)
    worker.exchange(0, Done(1, 1))
    look = place.open("look")
    assert look.records("q", ["k", "l"]) == [None, None]
    assert look.listed("q") == []
    assert look.tallies("q", ["j"]) == [None]
    assert place.rows("SELECT name FROM sqlite_master WHERE name IN ('records', 'joins', 'followed')") == []
    apply(store, Keep("k", b"v", None))
    assert values(look, "k") == [b"v"], "who had it open before sees the new tables"


def test_an_absent_file_reads_as_empty(place: Place) -> None:
    look = place.open("look")
    assert (look.records("q", ["k"]), look.listed("q"), look.tallies("q", ["j"])) == ([None], [], [None])
    assert not place.path.exists()


def test_a_release_that_does_not_know_effects_goes_on_with_a_file_that_has_some(place: Place) -> None:
    """The layout's number is as it was, and nothing but the new tables is other than in its own files."""
    store = place.open("push")
    tables = "SELECT name, sql FROM sqlite_master ORDER BY name"
    old = place.rows(tables)
    apply(store, Keep("k", b"v", 60.0), Send("q", [b"a"]), Join("q", "j", 2, [], 60.0))
    assert set(old) <= set(place.rows(tables))
    assert place.rows("PRAGMA user_version") == [(schema.LAYOUT,)] == [(1,)]


def test_an_exchange_without_effects_runs_the_statements_it_always_ran(place: Place) -> None:
    store = place.open("lease")
    apply(store, Keep("k", b"v", None))
    push(store, "q", b"a", b"b", b"c")
    worker = Worker(store)
    worker.exchange(2)
    log = traced(store)
    worker.exchange(1, Done(1, 2))
    assert [" ".join(line.split()[:3]) for line in log] == [
        "BEGIN IMMEDIATE",
        "SELECT c.no, c.state,",
        "DELETE FROM tasks",
        "SELECT no, head,",
        "SELECT id -",
        "UPDATE lanes SET",
        "UPDATE consumers SET",
        "COMMIT",
    ]


def test_apply_is_as_durable_as_a_push_by_whichever_connection(place: Place) -> None:
    for role in ("lease", "keep", "duty", "follow"):
        log = traced(store := place.open(role))
        apply(store, Keep("k", b"v", None))
        assert log[:2] == ["PRAGMA synchronous = FULL", "BEGIN IMMEDIATE"]
        assert log[-2:] == ["COMMIT", "PRAGMA synchronous = NORMAL"]
    assert handle(place.open("push")).execute("PRAGMA synchronous").fetchone() == (2,)


# room


def test_records_whose_time_is_over_do_not_gather(place: Place) -> None:
    """However many are kept: no timer sweeps them, and no step sweeps them all."""
    store = place.open("lease")
    apply(store, Keep("stays", b"v", None), *[Keep(f"old{n:04}", b"v", 0.0) for n in range(1000)])
    for _ in range(20):
        log = traced(store)
        apply(store, *[Keep(fresh(), b"v", 0.0) for _ in range(100)])
        assert sum(line.startswith("DELETE FROM records") for line in log) <= 1
    [(rows,)] = place.rows("SELECT count(*) FROM records")
    assert isinstance(rows, int) and rows < 700, "of 3,000 that were kept"
    for _ in range(1000):
        apply(store, Keep(fresh(), b"v", 0.0))
    [(rows,)] = place.rows("SELECT count(*) FROM records")
    assert isinstance(rows, int) and rows < 2 * records.SWEPT * records.SWEEP_EVERY, "one by one too"
    assert values(store, "stays") == [b"v"]


def test_joins_whose_time_is_over_do_not_gather(place: Place) -> None:
    store = place.open("lease")
    apply(store, *[Join("q", f"old{n}", 2, [Send("child", [b"x"])], 0.0) for n in range(300)])
    for n in range(20):
        apply(store, *[Arrive("q", f"new{n}-{m}", 0) for m in range(10)])
    assert place.rows("SELECT count(*) FROM joins WHERE name LIKE 'old%'") == [(0,)]
    assert place.rows("SELECT count(*) FROM thens") == [(0,)]


def test_what_a_join_applies_is_stored_once_and_not_written_again_by_arrivals(place: Place) -> None:
    store = place.open("lease")
    apply(store, Join("q", "j", 3, [Send("child", [b"x" * MIB]), Keep("k", b"y" * MIB, None)], 60.0))
    apply(store, Join("q", "shut", 3, [Send("child", [b"x" * MIB])], 60.0))
    log = place.path.with_name("queue.db-wal")
    handle(store).execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    apply(store, Arrive("q", "j", 0))
    apply(store, Arrive("q", "j", 1))
    assert log.stat().st_size < 100_000
    assert place.rows("SELECT count(*) FROM thens") == [(2,)]
    apply(store, Arrive("q", "j", 2), Shut("q", "shut"))
    assert place.rows("SELECT count(*) FROM thens") == [(0,)]
    assert store.counts("child").ready == 1
    assert values(store, "k") == [b"y" * MIB]


def test_effects_survive_in_a_join_as_they_were_given(place: Place) -> None:
    """Also odd ones: no payload, empty ones, names in any script."""
    store = place.open("lease")
    then = [
        Send("ünter/ ", [b"", b"\0\xff", b"z"], 7, 0.0, None, ["a", "b", "ä"], 60.0),
        Keep('k\n"', b"", None, 2**53 - 1, True),
        Send("empty", []),
        Keep("far", b"\0", 60.0, 0, False, "other"),
        Arrive("q", "next", 4095),
    ]
    apply(store, Join("q", "j", None, then, 60.0))  # type: ignore[arg-type]
    apply(store, Join("q", "next", 4096, [], 60.0), Shut("q", "nobody"))
    store.close()
    store.open("lease")
    apply(store, *[Arrive("q", "next", n) for n in range(4095)])
    apply(store, Arrive("q", "j", 0))
    assert values(store, 'k\n"') == [None], "it is open, and not sealed"
    apply(store, Seal("q", "j", 1))
    assert [one.payload for one in store.peek("ünter/ ", "ready")] == [b"", b"\0\xff", b"z"]
    [found] = store.records("q", ['k\n"'])
    assert found is not None and (found.value, found.rank) == (b"", 2**53 - 1)
    assert store.listed("q") == ['k\n"']
    assert [one and one.value for one in store.records("other", ["far"])] == [b"\0"]
    assert store.tallies("q", ["next"]) == [Tally(4096, 4096, True, False, [])]


def test_a_full_file_leaves_nothing_half_and_the_step_goes_on_when_there_is_room(tmp_path: Path) -> None:
    mount = tmp_path / "disk"
    mount.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", mount], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"NOT PROVED: a small volume needs the right to mount: {mounted.stderr.decode().strip()}")
    place = Place(mount / "store" / "queue.db")
    try:
        store = place.open("lease")
        apply(store, Join("q", "j", 2, [Send("called", [b"x"])], 600.0))
        push(store, "q", b"a", b"b")
        worker = Worker(store)
        worker.exchange(2)
        many: list[Effect] = [Send("child", [os.urandom(1000)] * 4000), Keep("big", os.urandom(3 * MIB), None)]
        effects: dict[int, Sequence[Effect]] = {
            1: [Keep("small", b"v", None), Arrive("q", "j", 0)],
            2: [*many, Arrive("q", "j", 1)],
        }
        with pytest.raises(StoreUnavailable, match="no room on the disk"):
            worker.exchange(0, Done(1, 2), effects=effects)
        with pytest.raises(QueueFull, match="no room on the disk"):
            apply(place.open("push"), *many)
        look = place.open("look")
        assert look.records("q", ["small", "big"]) == [None, None]
        assert (look.counts("child").ready, look.counts("called").ready) == (0, 0)
        assert look.tallies("q", ["j"]) == [Tally(2, 0, False, False, [0, 1])]
        assert look.counts("q").leased == 2
        subprocess.run(["mount", "-o", "remount,size=64m", mount], check=True)
        worker.exchange(0, Done(1, 2), effects=effects)
        assert [found is not None for found in look.records("q", ["small", "big"])] == [True, True]
        assert (look.counts("child").ready, look.counts("called").ready) == (4000, 1)
        assert look.counts("q").leased == 0
        assert place.rows("PRAGMA integrity_check") == [("ok",)]
    finally:
        for connector in place.opened:
            connector.close()
        subprocess.run(["umount", mount], check=False)


# kills


def test_kills_in_the_middle_of_exchanges_leave_all_effects_of_a_task_or_none(place: Place) -> None:
    """Each child settles batches, every task with a record, a task and an arrival, until it is killed at some moment."""
    rounds, tasks = size(12, 120), size(4_000, 20_000)
    store = place.open("push")
    push(store, "q", *[b"%d" % n for n in range(tasks)])
    apply(store, *[Join("q", f"j{n}", 1000, [Send("called", [b"%d" % n])], 3600.0) for n in range(tasks // 1000)])
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    moments = random.Random(seed)

    def work(name: str) -> None:
        worker = Worker(place.open("lease"), name)
        batch = worker.exchange(5)
        while batch:
            effects = {one.receipt: traces(int(one.payload)) for one in batch}
            batch = worker.exchange(5, Done(batch[0].receipt, batch[-1].receipt), effects=effects)

    def traces(n: int) -> list[Effect]:
        return [Keep(f"{n}", b"v", None), Send("child", [b"%d" % n]), Arrive("q", f"j{n // 1000}", n % 1000)]

    def settled() -> set[int]:
        """The tasks that were; each with all its traces once, and no other with any."""
        look = place.open("look")
        left = {int(one.payload) for state in ("ready", "leased") for one in look.peek("q", state, tasks)}
        there = {n for n, found in enumerate(look.records("q", [str(n) for n in range(tasks)])) if found}
        assert there == set(range(tasks)) - left
        children = [int(one.payload) for one in look.peek("child", "ready", 2 * tasks)]
        assert sorted(children) == sorted(there)
        tallies = look.tallies("q", [f"j{n}" for n in range(tasks // 1000)])
        assert sum(found.arrived for found in tallies if found) == len(there)
        complete = {b"%d" % n for n, found in enumerate(tallies) if found and found.complete}
        assert sorted(one.payload for one in look.peek("called", "ready")) == sorted(complete)
        look.close()
        return there

    for number in range(rounds):
        name = f"victim-{number}"
        before = len(settled())
        child = Child(partial(work, name))
        if number % 2:  # every second one has settled something, however busy the machine is
            until(lambda before=before: store.counts("child").ready > before or before == tasks)  # type: ignore[misc]
        time.sleep(moments.uniform(0.0, 0.03))
        child.kill()
        store.release("q", name, [], {}, close=True)
    work("last")
    assert len(settled()) == tasks
    assert store.counts("called").ready == tasks // 1000
    assert place.rows("PRAGMA integrity_check") == [("ok",)]


# following


def follow(store: LocalConnector, *keys: str) -> None:
    assert store.follow({("q", key): 0 for key in keys}) == {}


def names(heard: Mapping[tuple[str, str], Record | None] | None) -> list[str]:
    assert heard is not None
    return sorted(key for _, key in heard)


def test_a_mark_is_heard_by_the_connector_that_was_closed_and_opened_again(place: Place) -> None:
    follower, store = place.open("follow"), place.open("lease")
    follow(follower, "before", "between", "after", "never")
    apply(store, Keep("before", b"1", None))
    follower.close()
    apply(store, Keep("between", b"2", None))
    follower.open("follow")
    assert names(follower.heard(0)) == ["before", "between"]
    apply(store, Keep("after", b"3", None))
    start = time.monotonic()
    assert follower.heard(30) == {("q", "after"): Record(b"3", 3)}, "its FIFO has the name under which it follows"
    assert time.monotonic() - start < 15


def test_a_mark_whose_call_was_lost_is_found_when_the_sleep_ends(place: Place) -> None:
    """As if who kept it was killed after the commit; and where the FIFO is full, the call wakes all the same."""
    follower, store = place.open("follow"), place.open("lease")
    follow(follower, "lost", "full")
    assert follower._pipe is not None
    aside = follower._pipe.path + ".aside"
    os.rename(follower._pipe.path, aside)
    apply(store, Keep("lost", b"1", None))
    assert names(follower.heard(0.2)) == ["lost"]
    os.rename(aside, follower._pipe.path)
    with pytest.raises(OSError) as full:
        while True:
            os.write(follower._pipe.fd, b"queue:other\n" * 100)
    assert full.value.errno == errno.EAGAIN
    apply(store, Keep("full", b"2", None))
    assert names(follower.heard(0)) == ["full"]
    assert follower.heard(0) == {}


def test_a_mark_is_heard_together_with_a_poke(place: Place) -> None:
    """Who pokes the listener's descriptor to follow more hides nothing that was kept meanwhile, and is not read."""
    follower, store = place.open("follow"), place.open("lease")
    follow(follower, "k")
    poked, poke = os.pipe()
    os.write(poke, b"x")
    assert follower.heard(30, poked) == {}
    apply(store, Keep("k", b"v" * 5000, None))
    assert follower.heard(30, poked) == {("q", "k"): None}, "a large value is read where it is wanted"
    assert os.read(poked, 2) == b"x"
    os.close(poked)
    os.close(poke)


def test_more_marks_than_are_heard_at_once_are_heard_one_after_the_other(place: Place) -> None:
    follower, other, store = place.open("follow"), place.open("follow"), place.open("lease")
    keys = [f"k{n}" for n in range(2 * following.HEARD + 500)]
    follow(follower, *keys)
    follow(other, *keys[::2])
    apply(store, *[Keep(key, b"v", None) for key in keys])
    heard = [names(follower.heard(0)) for _ in range(4)]
    assert [len(some) for some in heard] == [following.HEARD, following.HEARD, 500, 0]
    assert sorted(key for some in heard for key in some) == sorted(keys)
    apply(store, *[Keep(key, b"w", None) for key in keys])
    assert follower.heard(0) == {}, "what was heard is followed no longer"
    follower.follow({})
    assert place.rows("SELECT count(*) FROM followed WHERE marked = 0") == [(0,)]
    [(rows,)] = place.rows("SELECT count(DISTINCT who) FROM followed")
    assert rows == 1, "a follow forgets what this one has heard, and leaves the marks of the others"


def test_registrations_of_who_has_gone_are_forgotten(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "MARK_LIVES", 0.0)
    gone, follower, store = place.open("follow"), place.open("follow"), place.open("lease")
    gone.follow({("q", f"k{n}"): 0 for n in range(100)}, 0.01)
    gone.close()
    time.sleep(0.02)
    apply(store, Keep("k1", b"v", None))
    assert place.rows("SELECT count(*) FROM followed") == [(0,)], "by a step"
    gone.open("follow")
    gone.follow({("q", f"l{n}"): 0 for n in range(100)}, 0.01)
    time.sleep(0.02)
    follow(follower, "m")
    assert place.rows("SELECT count(*) FROM followed") == [(1,)], "by who follows"


def test_who_has_not_looked_for_longer_than_a_mark_lives_is_told_so(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower = place.open("follow")
    follow(follower, "k")
    assert follower.heard(0) == {}
    monkeypatch.setattr(following, "MARK_LIVES", 0.02)
    assert follower.heard(0.05) is None
    follow(follower, "k")
    monkeypatch.undo()
    assert follower.heard(0) == {}


def test_a_forked_child_follows_for_itself(place: Place) -> None:
    """It neither hears nor forgets what its parent follows."""
    follower, store = place.open("follow"), place.open("lease")
    follow(follower, "k", "later")
    apply(store, Keep("k", b"v", None))

    def work() -> tuple[object, list[str]]:
        first = follower.heard(0)
        assert names(follower.follow({("q", "k"): 0, ("q", "later"): 0})) == ["k"]
        LocalConnector.apply(follower, "q", [Keep("later", b"w", None)], token=fresh())
        return first, names(follower.heard(30))

    assert Child(work).answer() == (None, ["later"])
    assert names(follower.heard(30)) == ["k", "later"]


def test_a_new_boot_forgets_who_followed(place: Place) -> None:
    """Its processes are gone, and their boot clock too."""
    follower = place.open("follow")
    follow(follower, "k")
    handle(follower).execute("UPDATE facts SET value = 'another' WHERE name = 'boot'")
    place.open("lease")
    assert place.rows("SELECT * FROM followed") == []
