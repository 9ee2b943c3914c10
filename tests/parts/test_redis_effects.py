"""What effects do on real servers when something is in the way: the outbox between nodes, a full server, forgotten scripts."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from zlib import crc32

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))
from harness.proxy import Proxy
from harness.recorded import PLAIN
from harness.servers import RedisServer, redis, sentinel
from harness.wait import eventually
from regiment.contracts import Arrive, Done, Drop, Join, Keep, Role, Send, Terms
from regiment.errors import QueueFull, StoreUnavailable
from regiment_redis.connector import RedisConnector
from regiment_redis.outbox import Outbox
from regiment_redis.scripts import Script
from regiment_testing.contracts.bench import Child, push
from regiment_testing.contracts.leaving import apply, holding, keep, send, values, waiting_tasks

MIB = 1 << 20
BEFORE = {name: PLAIN[name] for name in ("exchange", "release", "renew")}
"""SHA-1 of the scripts as they were when there were no effects."""


def named(node: int) -> str:
    """A queue whose home is this one of two nodes."""
    return next(name for n in range(99) if crc32((name := f"q{n}").encode()) % 2 == node)


NEAR, FAR = named(0), named(1)


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis() as server:
        yield server


@pytest.fixture
def other() -> Iterator[RedisServer]:
    with redis("--appendfsync", "always") as server:
        yield server


def opened(role: Role = "lease", url: str | None = None, **options: object) -> RedisConnector:
    connector = RedisConnector(url, **options)  # type: ignore[arg-type]
    connector.open(role)
    return connector


def spread(*ports: int, role: Role = "lease") -> RedisConnector:
    nodes = [f"redis://127.0.0.1:{port}/0" for port in ports]
    return opened(role, nodes=nodes, spread="queue", connect_timeout=0.5)


def runs(name: str) -> Callable[[bytes], bool]:
    """Chooses the requests that run this script."""
    sha = Script(name).sha.encode()
    return lambda request: b"EVALSHA" in request and sha in request


# A task without effects


@pytest.mark.parametrize("name", BEFORE)
def test_a_verb_without_effects_runs_the_script_of_before(name: str) -> None:
    assert Script(name).sha == BEFORE[name]
    assert Script(name, effects=True).sha != BEFORE[name]


def test_an_exchange_without_effects_sends_the_bytes_of_before(server: RedisServer) -> None:
    store = opened(url=server.url)
    push(store, "q", b"1", b"2", b"3")
    store.join("q", "w", Terms())
    store.exchange("q", "w", 1, 1, [], 3, MIB)
    wire = store._store.root.ready()  # type: ignore[union-attr]
    sent: list[bytes] = []
    real = wire.ask
    wire.ask = lambda command: sent.append(command) or real(command)  # type: ignore[method-assign,func-returns-value]
    store.exchange("q", "w", 2, 4, [Done(1, 2)], 3, MIB, effects={})
    store.exchange("q", "w", 3, 4, [Done(3, 3)], 3, MIB)
    head = b"$7\r\nEVALSHA\r\n$40\r\n%b\r\n$1\r\n1\r\n$12\r\nregiment:{q}\r\n$1\r\nw\r\n" % BEFORE["exchange"].encode()
    end = b"$1\r\n4\r\n$1\r\n3\r\n$7\r\n1048576\r\n$1\r\n0\r\n$1\r\nD\r\n"
    assert sent == [
        b"*13\r\n" + head + b"$1\r\n2\r\n" + end + b"$1\r\n1\r\n$1\r\n2\r\n",
        b"*13\r\n" + head + b"$1\r\n3\r\n" + end + b"$1\r\n3\r\n$1\r\n3\r\n",
    ]


# The outbox


@pytest.mark.parametrize("step", ["not applied", "applied and not deleted"])
@pytest.mark.parametrize("verb", ["exchange", "release", "renew"])
def test_a_relay_that_is_cut_is_done_by_the_next_verb_once(
    server: RedisServer, other: RedisServer, step: str, verb: str
) -> None:
    with Proxy(server.port) as near, Proxy(other.port) as far:
        store = spread(near.port, far.port)
        worker = holding(store, 3, NEAR)
        if step == "not applied":
            far.drop()
        else:
            other.ask("SCRIPT", "LOAD", Script("relay").text)
            far.cut_reply(runs("relay"))
        worker.exchange(Done(1, 1), limit=0, effects={1: [keep(), send(FAR, b"child"), Arrive(FAR, "j", 0)]})
        far.pass_on()
        assert values(spread(server.port, other.port), NEAR, "k") == [b"v"]
        assert waiting_tasks(store, FAR) == ([] if step == "not applied" else [b"child"])
        assert server.ask("EXISTS", f"regiment:{{{NEAR}}}:out") == 1
        again = spread(server.port, other.port)
        if verb == "exchange":
            assert again.exchange(NEAR, worker.name, 3, 4, [], 1, MIB).board == 0
        elif verb == "release":
            again.release(NEAR, worker.name, [], {}, close=True)
        else:
            again.renew([(NEAR, worker.name)], 30.0)
        assert waiting_tasks(store, FAR) == [b"child"]
        assert [tally and tally.arrived for tally in again.tallies(FAR, ["j"])] == [1]
        assert server.ask("EXISTS", f"regiment:{{{NEAR}}}:out") == 0


def test_a_relay_whose_deletion_is_cut_is_not_applied_again(server: RedisServer, other: RedisServer) -> None:
    with Proxy(server.port) as near:
        store = spread(near.port, other.port)
        worker = holding(store, 2, NEAR)
        token = b"s %b %b 1" % (NEAR.encode(), worker.name.encode())
        near.cut_reply(lambda request: runs("outbox")(request) and token in request)
        worker.exchange(Done(1, 1), limit=0, effects={1: [send(FAR, b"child")]})
        assert near.cuts == 1
        for _ in range(3):
            store.renew([(NEAR, worker.name)], 30.0)
        assert waiting_tasks(store, FAR) == [b"child"]


def test_a_relayer_that_is_killed_leaves_the_rest_to_others(server: RedisServer, other: RedisServer) -> None:
    name = holding(spread(server.port, other.port), 3, NEAR).name

    def die_after_applying() -> None:
        relay = Outbox._relay

        def dying(*args: object) -> bool:
            relay(*args)  # type: ignore[arg-type]
            os.kill(os.getpid(), signal.SIGKILL)
            return False

        Outbox._relay = dying  # type: ignore[method-assign,assignment]
        effects = {n: [send(FAR, b"%d" % n)] for n in (1, 2, 3)}
        spread(server.port, other.port).exchange(NEAR, name, 2, 4, [Done(1, 3)], 0, MIB, effects=effects)

    child = Child(die_after_applying)
    os.waitpid(child.pid, 0)
    store = spread(server.port, other.port)
    assert waiting_tasks(store, FAR) == [b"1", b"2", b"3"]
    assert server.ask("EXISTS", f"regiment:{{{NEAR}}}:out") == 1
    store.renew([(NEAR, name)], 30.0)
    assert waiting_tasks(store, FAR) == [b"1", b"2", b"3"]
    assert server.ask("EXISTS", f"regiment:{{{NEAR}}}:out") == 0


def test_what_waits_for_a_node_outlives_a_crash_of_its_own_node(other: RedisServer) -> None:
    with redis("--appendfsync", "always") as server:
        store = spread(server.port, other.port)
        worker = holding(store, 300, NEAR)
        other.kill()
        for n in range(1, 301):
            worker.exchange(Done(n, n), limit=0, effects={n: [send(FAR, b"%d" % n), keep(f"k{n}")]})
        server.kill()
        server.start()
        other.start()

        def renewed() -> bool:
            store.renew([(NEAR, worker.name)], 30.0)
            return server.ask("EXISTS", f"regiment:{{{NEAR}}}:out") == 0

        eventually(renewed, 20, "what waited was sent on")
        assert waiting_tasks(store, FAR) == [b"%d" % n for n in range(1, 301)]
        assert None not in values(store, NEAR, *(f"k{n}" for n in range(1, 301)))


def test_a_done_that_waits_for_a_node_keeps_its_effects_with_it(server: RedisServer, other: RedisServer) -> None:
    store = spread(server.port, other.port)
    worker = holding(store, 2, FAR)
    other.kill()
    store.renew([(FAR, worker.name)], 30.0)  # it learns that the node is away
    worker.exchange(Done(1, 1), limit=0, effects={1: [keep(), send(FAR, b"child"), send(NEAR, b"child")]})
    other.start()

    def settled() -> bool:
        return [one.payload for one in worker.take(1)] == [b"child"]

    eventually(settled, 20, "it was settled")
    assert values(store, FAR, "k") == [b"v"]
    assert waiting_tasks(store, NEAR) == [b"child"]


def test_a_completed_join_sends_to_a_third_place_before_the_exchange_returns(
    server: RedisServer, other: RedisServer
) -> None:
    store = spread(server.port, other.port)
    then = (Keep("end", b"all", None), Send(NEAR, [b"callback"]))
    apply(store, FAR, Join(FAR, "j", 2, then, 60.0))
    worker = holding(store, 2, NEAR)
    worker.exchange(Done(1, 2), limit=0, effects={n: [Arrive(FAR, "j", n - 1)] for n in (1, 2)})
    assert values(store, FAR, "end") == [b"all"]
    assert waiting_tasks(store, NEAR) == [b"callback"]


# One server


def test_scripts_that_a_server_has_forgotten_are_sent_again(server: RedisServer) -> None:
    store, follower = opened(url=server.url), opened("follow", server.url)
    worker = holding(store, 2)
    for n in (1, 2):
        server.ask("SCRIPT", "FLUSH")
        worker.exchange(Done(n, n), limit=0, effects={n: [keep(f"k{n}")]})
    server.ask("SCRIPT", "FLUSH")
    apply(store, "q", Arrive("q", "j", 0), keep("k3", listed=True))
    server.ask("SCRIPT", "FLUSH")
    assert [r.value for r in follower.follow({("q", f"k{n}"): 0 for n in range(1, 5)}).values()] == [b"v"] * 3
    server.ask("SCRIPT", "FLUSH")
    assert store.listed("q") == ["k3"] and len(store.tallies("q", ["j"])) == 1
    server.ask("SCRIPT", "FLUSH")
    worker.release([], {}, close=True, effects={})


def test_a_full_server_takes_what_settlements_leave_behind_and_refuses_what_comes_without(server: RedisServer) -> None:
    store = opened(url=server.url)
    worker = holding(store, 20)
    server.ask("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(QueueFull):
        apply(store, "q", keep("no"))
    for n in range(1, 11):
        effects = {n: [keep(f"k{n}"), send("child", b"%d" % n, ids=[f"{n}"]), Arrive("q", "j", n)]}
        worker.exchange(Done(n, n), limit=0, effects=effects)
    store.release("q", worker.name, [(11, 20)], {}, effects={n: [keep(f"k{n}")] for n in range(11, 21)})
    assert values(store, "q", "no", *(f"k{n}" for n in range(1, 21))) == [None, *[b"v"] * 20]
    assert store.counts("child").ready == 10


def test_a_push_with_records_by_the_short_way_leaves_what_the_long_way_leaves(server: RedisServer) -> None:
    store, follower = opened(url=server.url), opened("follow", server.url)
    left = []
    for queue, more in (("short", []), ("long", [Drop(("nothing",))])):
        assert apply(store, queue, keep("high", b"stays", rank=7)).version > 0
        follower.follow({(queue, "k"): 0})
        answers = []
        for effects in ([keep(rank=3), keep("high")], [keep("high")]):
            made = [send(queue, b"task"), *effects, *more]
            answers.append(store.apply(queue, made, token=str(len(effects))))
            again = store.apply(queue, made, token=str(len(effects)))
            assert again._replace(now=0.0) == answers[-1]._replace(now=0.0) and again.now >= answers[-1].now, (
                "seen before"
            )
        heard = follower.heard(5.0) or {}
        found = store.records(queue, ["k", "high"])
        assert found[0] is not None and found[0].version == answers[0].version > 0 == answers[1].version
        values = [(one.value, one.rank) for one in found if one is not None]
        left.append((values, waiting_tasks(store, queue), [key for _, key in heard], store.counts(queue).ready))
    assert left[0] == left[1] == ([(b"v", 3), (b"stays", 7)], [b"task"] * 2, ["k"], 2)


def test_every_key_of_a_record_a_join_and_a_follower_has_a_time_to_live(server: RedisServer) -> None:
    store, follower = opened(url=server.url), opened("follow", server.url)
    follower.follow({("q", "k"): 0, ("q", "never"): 0})
    apply(store, "q", keep(ttl=60.0), Arrive("q", "shell", 1), Join("q", "j", 3, (), 60.0), Arrive("q", "j", 2))
    found = server.ask("KEYS", "regiment:{q}:*")
    assert isinstance(found, list) and len(found) > 8
    forever = {key.rpartition(b":")[2] for key in found if server.ask("PTTL", key) == -1}
    assert forever <= {b"last"}


def test_an_inbox_that_nobody_reads_is_bounded_and_says_that_marks_are_lost(server: RedisServer) -> None:
    store, follower = opened(url=server.url), opened("follow", server.url)
    keys = [f"k{n}" for n in range(10_050)]
    assert not follower.follow({("q", key): 0 for key in keys})
    apply(store, "q", *(keep(key) for key in keys))
    inbox = f"regiment:{{q}}:inbox:{follower._store.ear.name}"
    assert 1 <= int(str(server.ask("LLEN", inbox))) < 100
    assert follower.heard(5.0) is None
    assert len(follower.follow({("q", key): 0 for key in keys})) == len(keys)


def test_marks_that_a_fail_over_lost_are_made_good_by_following_again() -> None:
    with sentinel() as guarded:
        follower = opened("follow", guarded.url)
        assert not follower.follow({("q", "k"): 0})
        assert follower.heard(0.2) == {}
        fallen = threading.Timer(0.3, guarded.fail_over)
        fallen.start()
        heard: list[object] = []

        def doubted() -> bool:
            try:
                heard.append(follower.heard(1.0))
                return heard[-1] is None
            except StoreUnavailable:
                return False

        eventually(doubted, 60, "the follower was told that marks may be lost")
        fallen.join(60)
        guarded.be_patient()

        def followed() -> bool:
            try:
                return follower.follow({("q", "k"): 0}) == {}
            except StoreUnavailable:
                return False

        eventually(followed, 30, "it follows again")
        apply(opened(url=guarded.url), "q", keep())

        def told() -> bool:
            found = follower.heard(1.0)
            return found is not None and ("q", "k") in found

        eventually(told, 30, "it heard of it")


def test_a_follower_whose_connection_was_cut_is_told_to_follow_again(server: RedisServer) -> None:
    with Proxy(server.port) as proxy:
        follower = opened("follow", proxy.url)
        follower.follow({("q", "k"): 0})

        def cut() -> None:
            eventually(lambda: "blocked_clients:1" in str(server.ask("INFO", "clients")), 20, "it waits for marks")
            proxy.reset()

        cutting = threading.Thread(target=cut)
        cutting.start()
        assert follower.heard(30.0) is None
        cutting.join()  # one connection is cut after the other, and it heard of the first
        apply(opened(url=server.url), "q", keep())
        with pytest.raises(StoreUnavailable):
            follower.follow({("q", "k"): 0})  # by the other connection, which was cut, too
        assert [record.value for record in follower.follow({("q", "k"): 0}).values()] == [b"v"]


def test_a_wait_for_marks_ends_when_the_descriptor_is_readable_and_leaves_it_so(server: RedisServer) -> None:
    follower = opened("follow", server.url)
    follower.follow({("q", "k"): 0})
    ours, theirs = socket.socketpair()
    theirs.send(b"x")
    assert follower.heard(30.0, ours.fileno()) == {}
    assert ours.recv(9) == b"x"


def test_versions_go_on_from_the_highest_when_the_clock_has_gone_back(server: RedisServer) -> None:
    store = opened(url=server.url)
    ahead = apply(store, "q", keep("a", listed=True)).version + 3_600_000_000
    server.ask("SET", "regiment:{q}:last", ahead)  # as if versions had been given an hour from now
    given = [apply(store, "q", keep(f"k{n}", listed=True), keep(f"l{n}", listed=True)).version for n in range(20)]
    assert given == sorted(set(given)) and given[0] > ahead
    worker = holding(store, 1)
    worker.exchange(Done(1, 1), limit=0, effects={1: [keep("k")]})
    found = store.records("q", ["k"])[0]
    assert found is not None and found.version > given[-1]
    assert store.listed("q", 4) == ["l19", "k19", "l18", "k18"]
