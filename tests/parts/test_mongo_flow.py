"""Budgets, lanes and keys on MongoDB: what the store does beyond the examination, and what a kill between two of its writes leaves."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import monitoring

sys.path.insert(0, str(Path(__file__).parent.parent))
from harness import mongod
from regiment.contracts import FLOW, Back, Done, Rule, Settlement, Terms, Ticket
from regiment.errors import StoreError
from regiment_mongo import claiming, lease
from regiment_mongo.budget import bound
from regiment_mongo.connector import MongoConnector
from regiment_mongo.spots import lane_key, level, pool_range, shelved, spot_of

MIB = 1 << 20
ACME = ("crm", "acme")


@pytest.fixture(params=["alone", "set"])
def url(request: pytest.FixtureRequest) -> str:
    if request.param == "set":
        found = str(request.getfixturevalue("mongo_url"))
    else:
        found = str(request.getfixturevalue("mongo_alone").url)
    mongod.empty(found, "flow")
    return str(mongod.with_database(found, "flow"))


@pytest.fixture
def made(url: str) -> Iterator[Callable[[], MongoConnector]]:
    """Open connectors, each with a connection of its own."""
    all: list[MongoConnector] = []

    def make() -> MongoConnector:
        connector = MongoConnector(url, timeout=10)
        connector.open("lease")
        all.append(connector)
        return connector

    yield make
    for connector in all:
        connector.close()


def admit(connector: MongoConnector, payload: bytes, token: str = "", **more: Any) -> list[Any]:
    pool, lane = more.pop("to", ACME)
    ticket = Ticket(pool, lane, id=payload.decode(), **more)
    return list(connector.admit("q", [payload], [ticket], priority=1, token=token or f"t{payload!r}"))


def join(connector: MongoConnector, name: str, slots: int = 100) -> None:
    connector.join("q", name, Terms(slots=slots))


def take(connector: MongoConnector, name: str, turn: int, *settlements: Any, limit: int = 10) -> list[bytes]:
    taken = connector.exchange("q", name, turn, 100 * turn, settlements, limit, MIB)
    return [one.payload for one in taken.deliveries]


class Heard(monitoring.CommandListener):
    """The commands that are sent, with what is in them but for what differs from run to run."""

    def __init__(self) -> None:
        self.all: list[str] = []
        self.on = False

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if self.on:
            store = event.command.get(event.command_name)
            text = str(event.command)
            for word in ("'fl'", "slots", "'us'", "'sl'", "spots", "rates", "'l'", "'f'", "'x'", "keys"):
                assert word not in text, f"{word} in {text}"
            self.all.append(f"{event.command_name} {store}")

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None: ...

    def failed(self, event: monitoring.CommandFailedEvent) -> None: ...


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Iterator[Heard]:
    found = Heard()
    before = list(monitoring._LISTENERS.command_listeners)
    monitoring.register(found)
    yield found
    monitoring._LISTENERS.command_listeners[:] = before


def test_a_queue_without_tickets_asks_for_nothing_more_beside_one_that_has_some(
    made: Callable[[], MongoConnector], heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not a request and not a field: of pushes, exchanges, settlements, returns and releases (L12)."""

    for module, name in ((lease, "TEND_EVERY"), (claiming, "FRESH"), (claiming, "FROM_START")):
        monkeypatch.setattr(module, name, 1e9)  # what is asked depends on no clock

    def life(queue: str) -> list[str]:
        connector = made()
        heard.all.clear()
        heard.on = True
        connector.push(queue, [b"1"], priority=1, token="1")
        connector.push(queue, [b"2", b"3"], priority=1, token="2", ids=["2", "3"])
        connector.join(queue, "w", Terms(slots=7))
        for turn in range(1, 4):
            settle: list[Settlement] = [Done(turn * 10 - 10, turn * 10 - 10), Back(turn * 10 - 9, turn * 10 - 9)]
            connector.exchange(queue, "w", turn, turn * 10, settle, 2, MIB)
        connector.release(queue, "w", [], {}, close=True)
        heard.on = False
        return sorted(
            one for one in heard.all if "wakes" not in one and not one.startswith(("getMore", "hello", "ping"))
        )

    before = life("plain")
    other = made()
    other.rule("q", ACME, Rule(at_once=1))
    admit(other, b"a")
    assert life("plain too") == before


# Numbers


@pytest.mark.parametrize(
    ("at_once", "numbers", "numberless", "wanted"),
    [
        (3, set(), 0, 3),
        (3, {0, 1}, 0, 3),
        (3, {5}, 0, 2),
        (3, {2, 5}, 0, 1),
        (2, {4, 5, 6}, 0, 0),
        (3, {0}, 2, 1),
        (1, set(), 1, 0),
    ],
)
def test_a_claim_takes_numbers_below_what_leaves_room_for_those_beyond(
    at_once: int, numbers: set[int], numberless: int, wanted: int
) -> None:
    """Whoever runs beyond it has no number there, or one from a rule of before."""
    found = bound(at_once, numbers, numberless)
    assert found == wanted
    running = found + numberless + sum(number >= found for number in numbers)
    assert found == 0 or running <= at_once


@pytest.mark.parametrize("pool", ["", "crm", "a\0b", "a\1b", "é", "\U0001f600"])
@pytest.mark.parametrize("lane", ["", "acme", "\0", "é", "\U0001f600"])
def test_a_lane_is_one_text_that_sorts_with_its_pool(pool: str, lane: str) -> None:
    key = lane_key(pool, lane)
    assert spot_of(key) == (pool, lane)
    begin, end = pool_range(pool)
    assert not key or begin.encode() <= key.encode() < end.encode()
    for priority in (-3, 0, 7):
        task = shelved({"l": key, "s": 1, "p": priority}) if key else {"p": level(priority)}
        assert level(priority) <= task["p"] < level(priority + 1)


def test_several_clusters_keep_no_budgets_and_say_so(url: str) -> None:
    connector = MongoConnector(nodes=[url, url + "&appName=b" if "?" in url else url + "?appName=b"])
    assert FLOW not in connector.extras() and FLOW in MongoConnector(url).extras()
    with pytest.raises(StoreError, match="2 clusters keep no budgets and lanes together; expected one `url`"):
        connector.rule("q", ACME, Rule(at_once=1))


# Kills


def killed(url: str, number: int, work: Callable[[MongoConnector, Callable[[], None]], object]) -> bool:
    """Whether a process was killed before the `number`-th request of the second part of its work, which it begins by a call."""
    if (pid := os.fork()) == 0:
        try:
            killer = mongod.Killer()
            monitoring.register(killer)
            connector = MongoConnector(url, timeout=10)
            connector.open("lease")
            connector._nodes[0].held_for = -1.0  # what a hand of it holds is overdue at once

            def begin() -> None:
                killer.left = number

            work(connector, begin)
            os._exit(0)
        finally:
            os._exit(3)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in (0, -signal.SIGKILL), "the work failed"
    return code != 0


def numbers(connector: MongoConnector) -> tuple[int, int]:
    [standing] = connector.flow("q", [ACME])
    return standing.waiting, standing.running


BURST = 6


def leases(connector: MongoConnector, begin: Callable[[], None]) -> None:
    join(connector, "dies")
    begin()
    take(connector, "dies", 1)


def settles(connector: MongoConnector, begin: Callable[[], None]) -> None:
    join(connector, "dies")
    take(connector, "dies", 1, limit=2)
    begin()
    take(connector, "dies", 2, Done(100, 100))


def gives_back(connector: MongoConnector, begin: Callable[[], None]) -> None:
    join(connector, "dies")
    take(connector, "dies", 1, limit=2)
    begin()
    take(connector, "dies", 2, Back(100, 100), limit=0)


def ends(connector: MongoConnector, begin: Callable[[], None]) -> None:
    join(connector, "dies")
    take(connector, "dies", 1, limit=2)
    begin()
    connector.release("q", "dies", [(100, 100)], {}, close=True)


@pytest.mark.parametrize("work", [leases, settles, gives_back, ends])
def test_a_kill_before_any_request_leaks_no_number_and_gains_no_lease(
    made: Callable[[], MongoConnector], url: str, work: Callable[..., object]
) -> None:
    """What it held is free when it is released; leases of the rate may be lost, and are never more than the burst."""
    connector, at = made(), 0
    while True:
        at += 1
        pushed = {b"%d-%d" % (at, n) for n in range(8)}
        where = (f"pool{at}", "acme")
        connector.rule("q", where, Rule(at_once=2, rate=(1, 100_000.0), burst=BURST))
        for payload in sorted(pushed):
            admit(connector, payload, to=where)
        again = killed(url, at, work)
        connector.release("q", "dies", [], {}, close=True)
        connector._nodes[0]._consumers.delete_one({"_id": "q dies"})  # the next one has its name
        [standing] = connector.flow("q", [where])
        left = standing.waiting
        assert standing.running == 0 and left >= (7 if work in (settles, ends) else 8)
        name, found = f"next{at}", list[bytes]()
        join(connector, name)
        for turn in range(1, 20):
            got = take(connector, name, turn, Done(100 * turn - 100, 100 * turn - 1))
            assert len(got) <= 2
            found += got
            if not got and turn > 2:
                break
        assert BURST - 4 <= len(found) <= BURST and len(set(found)) == len(found)
        connector.rule("q", where, None)
        rest = take(connector, name, turn + 1, Done(100 * turn, 100 * turn + 99), limit=100)
        assert len(found) + len(rest) == left and set(found) | set(rest) <= pushed, "lost, or doubled"
        connector.release("q", name, [(0, 100_000)], {}, close=True)
        if not again:
            break
    assert at > 3


def pushes(connector: MongoConnector, begin: Callable[[], None]) -> None:
    begin()
    admit(connector, b"new", token="again", unique="key")


def replaces(connector: MongoConnector, begin: Callable[[], None]) -> None:
    admit(connector, b"old", token="first", unique="key")
    begin()
    admit(connector, b"new", token="again", unique="key", clash="replace")


def succeeds(connector: MongoConnector, begin: Callable[[], None]) -> None:
    admit(connector, b"old", token="first", unique="key")
    join(connector, "dies")
    take(connector, "dies", 1)
    begin()
    admit(connector, b"new", token="again", unique="key", clash="replace")


@pytest.mark.parametrize("work", [pushes, replaces, succeeds])
def test_a_push_that_is_killed_before_any_request_is_gone_on_with(
    made: Callable[[], MongoConnector], url: str, work: Callable[..., object]
) -> None:
    """Its repeat finds what it had done: one task has the key, and none is there twice."""
    connector, at = made(), 0
    while True:
        at += 1
        again = killed(url, at, work)
        connector.join("q", f"look{at}", Terms())
        for turn in (1, 2):
            connector._nodes[0]._facts.clear()
            connector.exchange("q", f"look{at}", turn, 1, [], 0, MIB)
        clash = "keep" if work is pushes else "replace"
        admit(connector, b"new", token="again", unique="key", clash=clash)
        assert [task.payload for task in connector.peek("q", "ready")] == [b"new"]
        assert numbers(connector) == (1, 1 if work is succeeds else 0)
        [met] = admit(connector, b"third", token=f"third{at}", unique="key")
        assert met[1:] == (("kept", "old", "leased") if work is succeeds else ("kept", "new", "ready"))
        connector.release("q", "dies", [(0, 1000)], {}, close=True)
        connector._nodes[0]._consumers.delete_many({"q": "q"})
        connector.purge("q")
        for store in (connector._nodes[0]._tokens, connector._nodes[0]._tasks):
            store.delete_many({})
        if not again:
            break
    assert at > 3
