"""Effects in the SQLite file, as far as they are SQLite's own: old files, room, kills, marks and their FIFOs, forks, costs."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from regiment.contracts import Applied, Done, Effect, Effective, Join, Keep, Role, Send, Terms, When
from regiment_local import schema
from regiment_local.local import LocalConnector
from regiment_testing.contracts.bench import fresh, push

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

    def __init__(self, store: LocalConnector) -> None:
        self.store, self.name, self.turn, self.next = store, fresh(), 0, 1
        store.join("q", self.name, Terms())

    def exchange(
        self, limit: int, done: Sequence[Done] = (), effects: dict[int, Sequence[Effect]] | None = None
    ) -> int:
        """How many it leases."""
        self.turn += 1
        taken = self.store.exchange("q", self.name, self.turn, self.next, done, limit, MIB, effects=effects or {})
        self.next += len(taken.deliveries)
        return len(taken.deliveries)


# the file


def test_a_file_without_effects_has_no_table_of_them_and_reads_as_empty(place: Place) -> None:
    store = place.open("lease")
    push(store, "q", b"a")
    worker = Worker(store)
    worker.exchange(1)
    worker.exchange(0, [Done(1, 1)])
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
