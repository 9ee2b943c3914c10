"""What an operator's hand does on real servers: what the examination of `steer` cannot see of Redis."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from threading import Barrier

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))
from harness.recorded import PLAIN
from harness.servers import RedisServer, cluster, redis
from regiment.contracts import Back, Done, Role, Seen
from regiment.contracts.steer import ACT_AGE, MOST_ACTS, NOTICE_AGE, STEP
from regiment.errors import QueueFull, StoreUnavailable
from regiment_redis.connector import RedisConnector
from regiment_redis.scripts import Script
from regiment_testing.contracts.bench import Child, Consumer, push
from regiment_testing.contracts.leaving import at_once

S = "regiment:{q}"


@pytest.fixture
def server(redis_release: str) -> Iterator[RedisServer]:
    with redis() as server:
        yield server


@pytest.fixture
def store(server: RedisServer) -> Iterator[RedisConnector]:
    store = opened(url=server.url)
    yield store
    store.close()


def opened(role: Role = "lease", **options: object) -> RedisConnector:
    connector = RedisConnector(**options)  # type: ignore[arg-type]
    connector.open(role)
    return connector


def everything(store: RedisConnector, state: str = "ready", limit: int = 100, holding: bytes = b"") -> list[Seen]:
    """What a look finds that goes through the whole queue."""
    found: list[Seen] = []
    after = None
    while True:
        glance = store.look("q", state, limit, after=after, holding=holding)  # type: ignore[arg-type]
        found += glance.tasks
        after = glance.after
        if after is None:
            return found


def numbers(first: int, last: int) -> list[bytes]:
    return [b"%d" % n for n in range(first, last)]


def fill(store: RedisConnector, many: int, priority: int = 1) -> None:
    for start in range(0, many, 1000):
        push(store, "q", *numbers(start, min(start + 1000, many)), priority=priority)


def payloads(tasks: list[Seen]) -> list[bytes]:
    return [task.payload for task in tasks]


# Deep inside a list


def test_a_task_deep_inside_its_list_is_taken_out_and_all_others_stay_in_order(
    store: RedisConnector, server: RedisServer
) -> None:
    fill(store, 9000)
    tasks = everything(store, limit=1000)
    assert payloads(tasks) == numbers(0, 9000)
    gone = [0, 1, 2500, 4499, 4500, 4501, 8000, 8999]
    places = [tasks[n].place for n in gone]
    assert store.steer("q", places, drop=True) == places
    assert store.steer("q", places, drop=True) == []
    left = [n for n in range(9000) if n not in gone]
    assert payloads(everything(store, limit=1000)) == [b"%d" % n for n in left]
    assert store.counts("q").ready == len(left)
    assert server.ask("HMGET", S, "aside", "priorities") == [None, b"1"]
    assert Consumer(store).payloads(9000) == [b"%d" % n for n in left]


def test_what_lies_aside_is_leased_seen_counted_and_brought_back_by_the_next_hand(
    store: RedisConnector, server: RedisServer
) -> None:
    """Somebody was killed while the way to a deep task was clear."""
    fill(store, 9000)
    push(store, "q", b"later", priority=3)
    tasks = everything(store, limit=1000)
    hand = store._store.hand
    assert hand._clear(S, b"1" + bytes.fromhex(tasks[4500].place[10:]))  # type: ignore[union-attr]
    assert server.ask("LLEN", f"{S}:ready:9") == 4000
    assert store.counts("q").ready == 9001
    assert [task.place for task in everything(store, limit=700)] == [task.place for task in tasks]
    worker = Consumer(store)
    assert worker.payloads(100) == numbers(0, 100)
    push(store, "q", b"new", priority=9)
    push(store, "q", b"another", priority=0)
    worker.exchange(Back(1, 50), limit=0)
    assert store.steer("q", [tasks[4400].place, tasks[3].place], drop=True) == [tasks[4400].place, tasks[3].place]
    assert server.ask("HMGET", S, "aside", "priorities") == [None, b"0139"]
    expected = [n for n in [*range(50), *range(100, 9000)] if n not in (3, 4400)]
    wanted = [b"another", *(b"%d" % n for n in expected), b"later", b"new"]
    assert payloads(everything(store, limit=1000)) == wanted
    assert Consumer(store).payloads(10_000) == wanted


def test_with_all_priorities_in_use_a_deep_task_is_taken_out_by_the_long_walk(store: RedisConnector) -> None:
    for priority in range(10):
        fill(store, 5000 if priority == 4 else 1, priority)
    place = next(t.place for t in everything(store, limit=1000) if t.priority == 4 and t.payload == b"2500")
    assert store.steer("q", [place], priority=5) == [place]
    assert [t.payload for t in everything(store) if t.priority == 5] == [b"0", b"2500"]
    assert store.counts("q").ready == 5009


def test_a_deep_task_is_taken_out_while_others_lease_and_push(server: RedisServer, store: RedisConnector) -> None:
    """Each task is had once, by a worker or by the hand, and each worker gets them in order."""
    fill(store, 12_000)
    places = {task.place: task.payload for task in everything(store, limit=1000)}
    deep = list(places)[7000:9000:40]
    gate = Barrier(3)

    def lease(worker: Consumer, pusher: RedisConnector, mine: int) -> list[bytes]:
        gate.wait(30)
        found: list[bytes] = []
        for n in range(400):
            push(pusher, "q", b"%d" % (12_000 + 2 * n + mine))
            found += worker.payloads(7)
        return found

    def steer(operator: RedisConnector) -> list[bytes]:
        gate.wait(30)
        return [places[place] for place in operator.steer("q", deep, drop=True)]

    workers = [Consumer(opened(url=server.url)) for _ in range(2)]
    works = [partial(lease, w, opened("push", url=server.url), n) for n, w in enumerate(workers)]
    one, two, dropped = at_once(*works, partial(steer, opened("push", url=server.url)))
    assert list(map(int, one)) == sorted(map(int, one)) and list(map(int, two)) == sorted(map(int, two))
    assert sorted(dropped) == sorted(places[place] for place in deep)
    left = payloads(everything(store, limit=1000))
    assert [n for n in map(int, left) if n < 12_000] == sorted(n for n in map(int, left) if n < 12_000)
    assert sorted(map(int, one + two + dropped + left)) == list(range(12_800))
    assert server.ask("HEXISTS", S, "aside") == 0


@pytest.mark.fault(83)
def test_a_hand_that_is_killed_leaves_all_tasks_in_order_and_a_repeat_does_the_rest(
    server: RedisServer, store: RedisConnector
) -> None:
    fill(store, 9000)
    places = {task.place: int(task.payload) for task in everything(store, limit=1000)}
    deep = [place for place, n in places.items() if n in (2500, 3000, 4500, 6000, 6800)]
    for n in range(5):

        def steer() -> None:
            opened("push", url=server.url).steer("q", deep, drop=True)

        child = Child(steer)
        time.sleep(0.03 * n)  # whatever it does then: any moment will do
        child.kill()
        left = [int(task.payload) for task in everything(store, limit=1000)]
        assert left == sorted(left) and set(places.values()) - set(left) <= {places[place] for place in deep}
        assert store.counts("q").ready == len(left) == len(set(left))
    store.steer("q", deep, drop=True)
    assert server.ask("HEXISTS", S, "aside") == 0
    gone = {places[place] for place in deep}
    assert Consumer(store).payloads(9000) == [b"%d" % n for n in range(9000) if n not in gone]


def test_no_step_goes_through_more_than_it_may(server: RedisServer, store: RedisConnector) -> None:
    """Neither one that looks, nor one that clears the way and brings back."""
    fill(store, 6000)
    hand = store._store.hand
    gone: list[int] = []
    real = hand._run  # type: ignore[union-attr]

    def run(script: Script, *args: object) -> object:
        before = int(str(server.ask("LLEN", f"{S}:ready:1")))
        reply = real(script, *args)
        after = int(str(server.ask("LLEN", f"{S}:ready:1")))
        gone.append(reply[0] if script.name == "look_ready" else abs(after - before))
        return reply

    hand._run = run  # type: ignore[union-attr]
    [task] = everything(store, holding=b"3000")
    assert store.steer("q", [task.place], drop=True) == [task.place]
    assert max(gone) == STEP and len(gone) > 12 + 2 * 5


def test_large_tasks_are_gone_through_in_smaller_steps(store: RedisConnector) -> None:
    large = [bytes([n]) * 500_000 for n in range(40)]
    for payload in large:
        push(store, "q", payload)
        push(store, "q", payload, delay=60)
    assert [t.payload[:1] for t in everything(store)] == [p[:1] for p in large]
    assert [t.payload[:1] for t in everything(store, "delayed")] == [p[:1] for p in large]
    assert len(store.look("q", "ready").tasks) == 40
    assert [t.payload for t in everything(store, holding=large[17])] == [large[17]]
    places = [t.place for t in everything(store)[5:35]]
    assert list(store.steer("q", places, priority=0)) == places
    assert [t.payload[0] for t in everything(store)] == [*range(5, 35), *range(5), *range(35, 40)]


def test_what_was_settled_out_of_order_is_seen_by_its_receipts(store: RedisConnector) -> None:
    """The rest of an older batch lies in a hash, which has no order; of more than one step can take."""
    fill(store, 3000)
    worker = Consumer(store, name="w.1")
    worker.take(2 * STEP + 500)
    worker.exchange(Done(700, 700), limit=20)
    leased = everything(store, "leased", limit=400)
    assert [(t.consumer, t.receipt) for t in leased] == [("w.1", n) for n in range(1, 1521) if n != 700]
    assert payloads(leased) == [b"%d" % n for n in range(1520) if n != 699]
    assert [t.receipt for t in everything(store, "leased", holding=b"1234")] == [1235]


# Where keys are


def test_in_a_cluster_all_of_it_is_in_the_slot_of_the_queue(redis_release: str) -> None:
    with cluster() as members:
        store = opened(url=f"redis+cluster://127.0.0.1:{members[0].port}")
        for queue in ("q", "r", "s"):
            push(store, queue, *numbers(0, 6000))
            push(store, queue, b"named", delay=60, ids=["named"])
            place = store.look(queue, "ready", holding=b"3100").tasks[0].place
            assert store.steer(queue, [place], delay=60) == [place]
            place = store.look(queue, "delayed", holding=b"named").tasks[0].place
            assert store.steer(queue, [place], drop=True) == [place]
            store.post(queue, cancel=["a"], orders={"host:a": "quiet"})
            store.act(queue, b"{}", token="t")
            assert len(store.acts(queue)) == 1
        keys = {key for member in members for key in member.ask("KEYS", "regiment:{[qrs]}*")}  # type: ignore[attr-defined]
        assert {key.partition(b"}")[0][-1:] for key in keys} == {b"q", b"r", b"s"}
        for queue in (b"q", b"r", b"s"):
            slots = {members[0].ask("CLUSTER", "KEYSLOT", key) for key in keys if b"{%b}" % queue in key}
            assert len(slots) == 1
        assert [counts.ready for counts in store.counts_many(["q", "r", "s", "none"])] == [5999] * 3 + [0]
        store.close()


def test_a_look_goes_through_one_node_after_the_other_and_steer_to_the_node_of_a_place(
    server: RedisServer, redis_release: str
) -> None:
    with redis() as other:
        store = opened(nodes=[server.url, other.url], connect_timeout=0.5)
        for n in range(60):
            push(store, "q", b"%d" % n)
        tasks = everything(store, limit=7)
        assert sorted(payloads(tasks)) == sorted(numbers(0, 60)) and len({t.place for t in tasks}) == 60
        each = [int(str(one.ask("LLEN", f"{S}:ready:1"))) for one in (server, other)]
        assert sum(each) == 60 and min(each) > 0
        assert [t.place[-2:] for t in tasks] == [".0"] * each[0] + [".1"] * each[1]
        glance = store.look("q", "ready", limit=each[0])
        assert glance.after is not None and len(glance.tasks) == each[0]
        rest = store.look("q", "ready", after=glance.after)
        assert rest.after is None and [t.place for t in rest.tasks] == [t.place for t in tasks[each[0] :]]
        wanted = [tasks[0].place, tasks[-1].place, "x.9", "x"]
        assert store.steer("q", wanted, drop=True) == wanted[:2]
        assert [int(str(one.ask("LLEN", f"{S}:ready:1"))) for one in (server, other)] == [each[0] - 1, each[1] - 1]
        assert store.counts_many(["q"])[0].ready == 58
        store.post("q", orders={"host:a": "quiet"})
        assert dict(store.board("q").orders) == {"host:a": "quiet"}
        store.act("q", b"{}", token="t")
        store.act("q", b"{}", token="t")
        assert len(store.acts("q")) == 1
        other.kill()
        glance = store.look("q", "ready")
        assert [task.place for task in glance.tasks] == [task.place for task in tasks[1 : each[0]]]
        with pytest.raises(StoreUnavailable):
            store.look("q", "ready", after=glance.after)
        store.close()


# Bounds


def test_what_is_too_old_leaves_the_board_and_the_account(server: RedisServer, store: RedisConnector) -> None:
    store.post("q", cancel=["old", "older", "young"])
    now = int(time.time() * 1000)
    server.ask("ZADD", f"{S}:cancelled:at", now - int(NOTICE_AGE * 1000) - 1000, "old", 5, "older")
    assert store.board("q").cancelled == {"young"}
    store.post("q", cancel=["new"])
    assert store.board("q").cancelled == {"young", "new"}
    assert server.ask("SCARD", f"{S}:cancelled") == server.ask("ZCARD", f"{S}:cancelled:at") == 2
    store.act("q", b"{1}", token="1")
    store.act("q", b"{2}", token="2")
    server.ask("ZADD", f"{S}:acts", (now - int(ACT_AGE * 1000) - 1000) * 1000, "1")
    assert [act.entry for act in store.acts("q")] == [b"{2}"]
    store.act("q", b"{3}", token="3")
    assert server.ask("HKEYS", f"{S}:acts:said") == [b"2", b"3"]


def test_an_account_holds_so_many_acts_and_the_oldest_go(server: RedisServer, store: RedisConnector) -> None:
    many = "for i = 1, 9999 do redis.call('ZADD', KEYS[1]..':acts', i + ARGV[1], 't'..i) "
    many += "redis.call('HSET', KEYS[1]..':acts:said', 't'..i, string.rep('x', 7)..i) end"
    assert MOST_ACTS == 10_000
    server.ask("EVAL", many, 1, S, int(time.time() * 1e6) - 60_000_000)
    for n in range(10_000, 10_004):
        store.act("q", b"%d" % n, token=f"t{n}")
    acts = store.acts("q", 20_000)
    assert [act.entry for act in acts] == [b"%d" % n for n in range(10_003, 3, -1)]
    assert server.ask("HLEN", f"{S}:acts:said") == MOST_ACTS


def test_on_a_full_server_a_hand_drops_and_moves_and_is_accounted_for(
    server: RedisServer, store: RedisConnector
) -> None:
    fill(store, 7000)
    place = store.look("q", "ready", holding=b"3333").tasks[0].place
    near = store.look("q", "ready", 3).tasks
    server.ask("CONFIG", "SET", "maxmemory", 1)
    with pytest.raises(QueueFull):
        push(store, "q", b"more")
    assert store.steer("q", [place], drop=True) == [place]
    assert store.steer("q", [near[0].place], priority=5) and store.steer("q", [near[1].place], delay=60)
    store.post("q", paused=True, cancel=["a"], orders={"host:a": "drain"})
    store.act("q", b"{}", token="t")
    counts = store.counts("q")
    assert (counts.ready, counts.delayed, len(store.acts("q"))) == (6998, 1, 1)
    assert server.ask("HEXISTS", S, "aside") == 0


def test_who_does_not_steer_runs_the_scripts_of_before() -> None:
    assert Script("exchange").sha == PLAIN["exchange"]
    assert Script("push").sha == PLAIN["push"]


@pytest.mark.long
def test_a_million_waiting_are_gone_through_and_one_in_their_middle_is_moved(store: RedisConnector) -> None:
    many = 1_000_000
    fill(store, many)
    found, calls, after = [], 0, None
    while True:
        glance = store.look("q", "ready", after=after, holding=b"777777")
        found, calls, after = found + list(glance.tasks), calls + 1, glance.after
        if after is None:
            break
    assert payloads(found) == [b"777777"] and calls == many // 10_000
    place = store.look("q", "ready", 1, after=None, holding=b"5000").tasks[0].place
    assert store.steer("q", [found[0].place, place], priority=0) == [found[0].place, place]
    assert payloads(everything(store, limit=2)[:2]) == [b"5000", b"777777"]
    assert Consumer(store).payloads(5) == [b"5000", b"777777", b"0", b"1", b"2"]
