"""Effects where a queue has several nodes, and where a cluster's primary is lost."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))
from harness.servers import RedisServer, _cluster_port, cluster, redis
from harness.wait import eventually
from regiment.contracts import Arrive, Done, Drop, Effect, Join, Keep, Role, Send
from regiment.errors import StoreUnavailable
from regiment_redis.client import key_slot
from regiment_redis.connector import RedisConnector
from regiment_testing.contracts.bench import Consumer, until
from regiment_testing.contracts.leaving import apply, keep, send, values, waiting_tasks


@pytest.fixture
def pair() -> Iterator[list[RedisServer]]:
    with redis() as one, redis() as two:
        yield [one, two]


def spread(pair: list[RedisServer], role: Role = "lease") -> RedisConnector:
    connector = RedisConnector(nodes=[server.url for server in pair])
    connector.open(role)
    return connector


def held(store: RedisConnector, number: int) -> Consumer:
    """A consumer that holds tasks of both nodes: each push goes to one of them."""
    for n in range(number):
        store.push("q", [b"%d" % n], priority=1, token=f"t{n}")
    worker = Consumer(store, "q")
    assert len(worker.take(number)) == number
    return worker


def test_what_tasks_of_several_nodes_leave_behind_is_there_once_for_all(pair: list[RedisServer]) -> None:
    store, follower = spread(pair), spread(pair, "follow")
    worker = held(store, 40)
    assert not follower.follow({("q", f"k{n}"): 0 for n in range(1, 41)} | {("q", "end"): 0})
    effects: dict[int, list[Effect]] = {
        n: [keep(f"k{n}", b"%d" % n, listed=True), Arrive("q", "j", n - 1), send("child", b"%d" % n, ids=[f"{n}"])]
        for n in range(1, 41)
    }
    effects[7].append(Join("q", "j", 40, (Keep("end", b"", None), Send("q", [b"callback"])), 600.0))
    worker.exchange(Done(1, 40), limit=0, effects=effects)
    per_node = [len(found) for s in pair if isinstance(found := s.ask("KEYS", "regiment:{q}:kept:k*"), list)]
    assert sum(per_node) == 40 and min(per_node) > 0, "records are where their tasks were"
    assert values(store, "q", *(f"k{n}" for n in range(1, 41))) == [b"%d" % n for n in range(1, 41)]
    assert [tally and tally.complete for tally in store.tallies("q", ["j"])] == [True]
    assert waiting_tasks(store, "q") == [b"callback"]
    assert sorted(waiting_tasks(store, "child"), key=int) == [b"%d" % n for n in range(1, 41)]
    heard: set[str] = set()

    def all_are_heard() -> bool:
        heard.update(key for _, key in follower.heard(0.2) or ())
        return len(heard) == 41

    until(all_are_heard)
    pages, last = [], None
    while page := store.listed("q", 7, after=last):
        pages += page
        last = page[-1]
    assert sorted(pages) == sorted(f"k{n}" for n in range(1, 41))
    apply(store, "q", Drop([f"k{n}" for n in range(1, 41)]))
    assert values(store, "q", *(f"k{n}" for n in range(1, 41))) == [None] * 40


def test_a_record_of_which_nodes_have_several_is_the_one_with_the_highest_rank(pair: list[RedisServer]) -> None:
    store = spread(pair)
    worker = held(store, 20)
    for n in range(1, 21):
        worker.exchange(Done(n, n), limit=0, effects={n: [keep("k", b"%d" % n, rank=1 if n == 11 else 0)]})
    assert values(store, "q", "k") == [b"11"]


def test_a_record_that_may_be_on_a_node_that_is_away_is_not_called_absent(pair: list[RedisServer]) -> None:
    store = spread(pair)
    worker = held(store, 20)
    worker.exchange(Done(1, 20), limit=0, effects={n: [keep(f"k{n}")] for n in range(1, 21)})
    pair[1].kill()
    here = [n for n in range(1, 21) if pair[0].ask("EXISTS", f"regiment:{{q}}:kept:k{n}")]
    assert values(store, "q", *(f"k{n}" for n in here)) == [b"v"] * len(here)
    with pytest.raises(StoreUnavailable):
        store.records("q", [f"k{n}" for n in range(1, 21)])


def test_a_cluster_that_fails_over_is_followed_again_and_the_outbox_goes_on() -> None:
    with cluster() as members:
        slot = key_slot(b"regiment:{q}")
        owner = members[slot * 3 // 16384]
        assert owner.ask("CLUSTER", "COUNTKEYSINSLOT", slot) == 0
        replica = RedisServer("--cluster-enabled", "yes", "--cluster-require-full-coverage", "no", port=_cluster_port())
        try:
            replica.start()
            replica.ask("CLUSTER", "MEET", "127.0.0.1", owner.port)
            name = str(owner.ask("CLUSTER", "MYID"), "ascii")  # type: ignore[call-overload]
            eventually(lambda: replica.ask("CLUSTER", "REPLICATE", name) == "OK", 20, "it knows its primary")
            eventually(
                lambda: b"master_link_status:up" in replica.ask("INFO", "replication"),  # type: ignore[operator]
                30,
                "the replica has the data",
            )
            eventually(
                lambda: all(b"cluster_known_nodes:4" in m.ask("CLUSTER", "INFO") for m in members),  # type: ignore[operator]
                30,
                "everybody knows the replica",
            )
            fail_over(members, owner, replica)
        finally:
            replica.remove()


def fail_over(members: list[RedisServer], owner: RedisServer, replica: RedisServer) -> None:
    hosts = ",".join(f"127.0.0.1:{member.port}" for member in members)

    def opened(role: Role) -> RedisConnector:
        connector = RedisConnector(f"redis+cluster://{hosts}")
        connector.open(role)
        return connector

    store, follower = opened("lease"), opened("follow")
    apply(store, "q", keep("before"), send("child", b"1"))
    assert not follower.follow({("q", "k"): 0})
    assert follower.heard(0.1) == {}
    assert owner.ask("WAIT", 1, 5000) == 1
    owner.kill()
    replica.ask("CLUSTER", "FAILOVER", "TAKEOVER")

    def doubted() -> bool:
        try:
            return follower.heard(0.5) is None
        except StoreUnavailable:
            return False

    eventually(doubted, 30, "the follower was told to follow again")

    def followed() -> bool:
        try:
            return follower.follow({("q", "k"): 0}) == {}
        except StoreUnavailable:
            return False

    eventually(followed, 30, "it follows again")
    store = opened("lease")
    assert values(store, "q", "before") == [b"v"]
    apply(store, "q", keep(), send("child", b"2"))
    until(lambda: ("q", "k") in (follower.heard(0.5) or {}))
    assert waiting_tasks(store, "child") == [b"1", b"2"]
