"""What an operator's hand does on real servers: what the examination of `steer` cannot see of Redis."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))
from harness.servers import RedisServer, redis
from regiment.contracts import Back, Role, Seen, Terms
from regiment.contracts.steer import MOST_ACTS, MOST_NOTICES, NOTICE_AGE
from regiment.errors import QueueFull, StoreError
from regiment_redis.connector import RedisConnector
from regiment_redis.scripts import Script
from regiment_testing.contracts.bench import Consumer, push

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


def test_a_task_deep_inside_its_list_is_taken_out_and_all_others_stay_in_order(store: RedisConnector, server: RedisServer) -> None:
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
    assert hand._clear(S, b"1" + bytes.fromhex(tasks[4500].place[2:]))  # type: ignore[union-attr]
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
