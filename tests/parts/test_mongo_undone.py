"""mongod is killed and started again before each request of a claim and of a giving back: what it had answered last is
undone, and what comes next must not build on it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import PyMongoError

sys.path.insert(0, str(Path(__file__).parent.parent))
from harness import mongod
from regiment.contracts import Back, Delivery, Done, Settlement, Taken, Terms
from regiment.errors import Fenced, StoreUnavailable
from regiment_mongo.connector import MongoConnector
from regiment_mongo.pin import can_pin

MIB = 1 << 20

IDLE = 1.05
"""Seconds after which the driver looks whether a connection is still there and quietly makes another."""


@pytest.fixture(scope="module", params=[None, "undone"], ids=["stand-alone", "set"])
def server(request: pytest.FixtureRequest) -> Iterator[mongod.Cluster]:
    with mongod.cluster(1, request.param) as made:
        yield made


class Watched:
    """A worker's connector, before whose `at`-th request the server is killed and started again."""

    def __init__(self, server: mongod.Cluster) -> None:
        self.server = server
        self.connector = MongoConnector(server.at("undone"), timeout=20)
        self.connector.open("lease")
        self.node = self.connector._nodes[0]
        self.held: list[bytes] = []
        self.count = self.at = 0
        self.ran = False
        self._ask = self.node.ask
        self.strike = self.restart

    @contextmanager
    def killed_before(self, number: int) -> Iterator[None]:
        self.count, self.at, self.ran = 0, number, False
        self.node.ask = self._watched  # type: ignore[method-assign]
        try:
            yield
        finally:
            self.node.ask = self._ask  # type: ignore[method-assign]

    def restart(self) -> None:
        member = self.server.members[0]
        member.kill()
        member.start()
        self.server.primary()

    def _watched(self, *args: Any, **options: Any) -> Any:
        self.count += 1
        if self.count == self.at:
            begun = time.monotonic()
            self.strike()
            time.sleep(max(0.0, IDLE - (time.monotonic() - begun)))
            self.ran = True
        return self._ask(*args, **options)

    def exchange(self, name: str, turn: int, base: int, *settlements: Settlement) -> Taken:
        """As the core sends it: again and unchanged, until it is answered."""
        while True:
            try:
                return self.connector.exchange("q", name, turn, base, settlements, 5, MIB)
            except StoreUnavailable:
                continue

    def drained(self, name: str) -> list[bytes]:
        """What a new worker finds when the old one is gone."""
        self.connector.release("q", name, [], {}, close=True)
        self.connector.join("q", f"{name}-next", Terms())
        found: list[Delivery] = []
        for turn in range(1, 4):
            base = 10 * turn
            found += self.exchange(f"{name}-next", turn, base, Done(base - 10, base - 1)).deliveries
        self.connector.release("q", f"{name}-next", [(0, 100)], {}, close=True)
        return [one.payload for one in found]


@pytest.fixture
def watched(server: mongod.Cluster) -> Iterator[Watched]:
    mongod.empty(server.url, "undone")
    made = Watched(server)
    yield made
    made.connector.close()


def claim(worker: Watched, name: str, turn: int = 1, *settlements: Settlement) -> list[bytes]:
    """Nothing of it is run: the worker dies, or is fenced, before it starts anything."""
    try:
        taken = worker.exchange(name, turn, 10 * turn, *settlements)
    except Fenced:
        return []  # it was undone, and its worker joins anew
    return [one.payload for one in taken.deliveries]


def again(worker: Watched, name: str) -> None:
    """The answer to the claim was lost, or what followed failed: the turn is repeated."""
    claim(worker, name)
    worker.node._rows.clear()
    claim(worker, name)


def back(worker: Watched, name: str) -> None:
    claim(worker, name, 2, Back(10, 19))


def release(worker: Watched, name: str) -> None:
    while True:
        try:
            worker.connector.release("q", name, [], {10: b"evidence"}, only=(10, 12))
            return
        except StoreUnavailable:
            continue


def steer(worker: Watched, name: str) -> None:
    """An operator's hand, repeated until it is answered: it says of each task that it was moved."""
    places = [task.place for task in worker.connector.look("q", "ready").tasks]
    while True:
        try:
            assert worker.connector.steer("q", places, priority=2) == places
            return
        except StoreUnavailable:
            continue


@pytest.mark.long
@pytest.mark.fault(37)
@pytest.mark.parametrize("many", [1, 5])
@pytest.mark.parametrize("what", [claim, again, back, release, pytest.param(steer, marks=pytest.mark.long)])
def test_no_task_is_lost_when_mongod_is_killed_before_any_request_of(
    watched: Watched, what: Callable[[Watched, str], object], many: int
) -> None:
    at = 0
    while True:
        at += 1
        name = f"me{at}"
        watched.connector.join("q", name, Terms(poison_delays=()))
        pushed = {b"%d-%d" % (at, n) for n in range(many)}
        for payload in sorted(pushed):
            watched.connector.push("q", [payload], priority=1, token=os.urandom(8).hex())
        if what in (back, release):
            assert set(claim(watched, name)) == pushed
            watched.node.tell("elsewhere", watched.node.durable())  # with it, all of that is in the journal
        with watched.killed_before(at):
            what(watched, name)
        assert pushed <= set(watched.drained(name)), f"lost by a kill before request {at}"
        if not watched.ran:
            break  # it was shorter
    assert at > 2


@pytest.mark.fault(37)
@pytest.mark.parametrize("what", [claim, again, back])
def test_no_task_is_lost_where_the_driver_lends_no_connection_or_a_router_has_its_own(
    watched: Watched, what: Callable[[Watched, str], object]
) -> None:
    """What others build on is in the journal then."""
    watched.node._pins = False
    test_no_task_is_lost_when_mongod_is_killed_before_any_request_of(watched, what, 5)


def test_the_installed_driver_lends_its_connection() -> None:
    with MongoClient[dict[str, Any]]("mongodb://h", connect=False) as client:
        assert can_pin(client)


@pytest.mark.fault(39)
def test_no_task_is_lost_when_another_member_becomes_primary_between_a_claim_and_its_removal() -> None:
    """One that has not heard of the claim: the tasks are still waiting there, and nobody holds them."""
    with mongod.cluster(3, "undone", "--setParameter", "enableTestCommands=1") as made:
        old, *others = made.members
        worker = Watched(made)

        def elect() -> None:
            old.kill()
            replicate(others, True)
            made.primary()
            old.start()

        worker.strike = elect
        worker.connector.join("q", "me", Terms())
        pushed = {b"%d" % n for n in range(5)}
        for payload in sorted(pushed):
            worker.connector.push("q", [payload], priority=1, token=os.urandom(8).hex())
        replicate(others, False)
        with worker.killed_before(3):  # reading, claim, removal
            claim(worker, "me")
        assert worker.ran
        assert pushed == set(worker.drained("me"))
        worker.connector.close()


@pytest.mark.fault(39)
def test_a_member_that_undoes_writes_has_closed_its_connections_before() -> None:
    """What `pin.py` rests on. Its process lives on, and nothing else would tell."""
    with mongod.cluster(3, "undone", "--setParameter", "enableTestCommands=1") as made:
        old, *others = made.members
        with old.client() as client, client._conn_for_writes(None, "insert") as connection:
            replicate(others, False)
            connection.command("undone", {"insert": "c", "documents": [{"_id": 1}], "writeConcern": {"w": 1}})
            old.pause()
            replicate(others, True)
            mongod.Cluster(others, "undone").primary()
            assert not connection.conn_closed(), "it stands still, and its connections stand"
            old.resume()
            undone, end = False, time.monotonic() + 30
            while not undone and time.monotonic() < end:
                with suppress(PyMongoError), old.client() as fresh:
                    undone = fresh["undone"]["c"].find_one({"_id": 1}) is None
            assert undone
            assert connection.conn_closed()


def replicate(members: list[mongod.Mongod], on: bool) -> None:
    """Let these members fetch what the primary writes, or not."""
    for member in members:
        with member.client() as client:
            point = "stopReplProducer"
            client.admin.command("configureFailPoint", point, mode="off" if on else "alwaysOn")
            if not on:
                client.admin.command("waitForFailPoint", point, timesEntered=1, maxTimeMS=20_000)


@pytest.mark.fault(37)
@pytest.mark.parametrize("many", [1, 5])
def test_a_claim_of_at_most_once_is_not_undone_by_a_kill_and_neither_is_its_settlement(
    watched: Watched, many: int
) -> None:
    terms = Terms(delivery="at_most_once")
    for round in range(2):
        me, other = f"me{round}", f"other{round}"
        watched.connector.join("q", me, terms)
        for n in range(many):
            watched.connector.push("q", [b"%d" % n], priority=1, token=os.urandom(8).hex())
        assert len(claim(watched, me)) == many
        watched.restart()  # while all of it runs
        assert watched.connector.renew([("q", me)], 30.0) == [], "its claim stands"
        watched.connector.join("q", other, terms)
        assert claim(watched, other) == []
        assert not watched.exchange(me, 2, 20, Done(10, 9 + many)).lost
        watched.restart()  # and when it is settled
        watched.connector.release("q", me, [], {}, close=True)
        assert claim(watched, other, 2) == []
        watched.connector.release("q", other, [], {}, close=True)
