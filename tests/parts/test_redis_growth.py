"""What is asked about many queues and many consumers of Redis comes in few requests, none of which stops the server for long."""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from harness.servers import RedisServer
from regiment.contracts import Done, Taken, Terms
from regiment.task import new_id
from regiment_redis.connector import RedisConnector
from regiment_redis.shard import RENEWED


def calls(node: RedisServer) -> int:
    """Scripts that the server has run."""
    told = node.ask("INFO", "commandstats")
    text = told.decode() if isinstance(told, bytes) else str(told)
    return next((int(line.split("calls=")[1].split(",")[0]) for line in text.splitlines() if "_evalsha:" in line), 0)


class Worker:
    """A consumer that takes one task at a time."""

    def __init__(self, store: RedisConnector, name: str) -> None:
        self.store, self.name = store, name
        self.turn, self.base = 0, 1
        store.join("q", name, Terms(lease=1000.0))

    def looks(self) -> Taken:
        """It settles what it held and asks for a task."""
        self.turn += 1
        done = [Done(self.base - 1, self.base - 1)] if self.base > 1 else []
        taken = self.store.exchange("q", self.name, self.turn, self.base, done, 1, 1 << 20, True)
        self.base += len(taken.deliveries)
        return taken


def marks(node: RedisServer) -> int:
    found = node.ask("LLEN", "regiment:{q}:wake")
    assert isinstance(found, int)
    return found


def pop_all(node: RedisServer) -> None:
    node.ask("DEL", "regiment:{q}:wake")


def push(store: RedisConnector, payload: bytes, delay: float = 0.0) -> None:
    store.push("q", [payload], priority=1, delay=delay, token=new_id())


def test_a_push_that_is_due_before_all_others_wakes_eight_of_many(node: RedisServer, store: RedisConnector) -> None:
    workers = [Worker(store, f"w{number:02}") for number in range(20)]
    for worker in workers:
        assert not worker.looks().deliveries
    push(store, b"later", 60.0)
    assert marks(node) == 8
    pop_all(node)
    told = [worker.looks().next_due for worker in workers[:8]]
    assert all(due is not None and 59.0 < due <= 60.0 for due in told)
    push(store, b"latest", 90.0)
    assert marks(node) == 0, "it is not the first: nobody needs to know"
    push(store, b"sooner", 30.0)
    assert marks(node) == 8


def test_whoever_is_the_last_to_know_of_a_due_time_and_stops_waiting_wakes_others(
    node: RedisServer, store: RedisConnector
) -> None:
    """By work, by its end, by its death."""
    workers = [Worker(store, f"w{number:02}") for number in range(13)]
    for worker in workers:
        worker.looks()
    push(store, b"later", 60.0)
    pop_all(node)
    for worker in workers[:3]:
        worker.looks()

    push(store, b"now")
    pop_all(node)
    assert workers[0].looks().deliveries and marks(node) == 0, "two others know"
    store.release("q", workers[1].name, [], {}, close=True)
    assert marks(node) == 0, "one other knows"
    store.release("q", workers[2].name, [], {}, close=True)
    assert marks(node) == 8
    pop_all(node)
    assert workers[3].looks().next_due
    push(store, b"now")
    pop_all(node)
    assert workers[3].looks().deliveries and marks(node) == 8


def test_ten_thousand_pushes_of_a_process_leave_a_few_kilobytes_of_tokens_and_each_counts_once(
    node: RedisServer, store: RedisConnector
) -> None:
    tokens = [new_id() for _ in range(10_000)]
    for token in tokens:
        store.push("q", [b"x"], priority=1, token=token)
    for token in tokens[::100]:
        store.push("q", [b"x"], priority=1, token=token)
    assert store.counts("q").ready == 10_000
    keys = node.ask("KEYS", "regiment:{q}:token*")
    assert isinstance(keys, list) and len(keys) <= 3
    sizes = [node.ask("MEMORY", "USAGE", key) for key in keys]
    assert sum(size for size in sizes if isinstance(size, int)) < 5_000
    assert all(isinstance(left := node.ask("PTTL", key), int) and 0 < left <= 60_000 for key in keys)


def test_a_push_that_is_remembered_for_a_moment_shortens_nobody_elses_memory(store: RedisConnector) -> None:
    long, short = new_id(), new_id()
    for _ in range(2):
        store.push("q", [b"x"], priority=1, token=long)
        store.push("q", [b"x"], priority=1, token=short, token_window=1.0)
    assert store.counts("q").ready == 2
    time.sleep(1.2)
    for token, window in ((long, 60.0), (short, 1.0)):
        store.push("q", [b"x"], priority=1, token=token, token_window=window)
    assert store.counts("q").ready == 3


def test_a_renewal_of_many_goes_in_chunks_and_names_each_that_is_unknown(
    node: RedisServer, store: RedisConnector
) -> None:
    who = [("q", f"c{number:03}") for number in range(3 * RENEWED)]
    for queue, consumer in who[:-1]:
        store.join(queue, consumer, Terms(lease=5.0))
    gone = ("q", "b")
    before = calls(node)
    assert sorted(store.renew([gone, *who], 1000.0)) == [gone, who[-1]]
    # Four chunks, and once more where the server does not have the script.
    assert 4 <= calls(node) - before <= 8
    left = node.ask("ZRANGE", "regiment:{q}:consumers", 0, 0, "WITHSCORES")
    first = node.ask("TIME")
    assert isinstance(left, list) and isinstance(first, list)
    assert float(left[1]) / 1000 > float(first[0]) + 900


def test_the_list_of_queues_has_the_used_ones_the_posted_ones_and_those_that_cannot_be_read(
    node: RedisServer, store: RedisConnector
) -> None:
    for name in ("full", "emptied"):
        store.push(name, [b"x"], priority=1, token=name)
    store.purge("emptied")
    store.post("posted", paused=True)
    assert store.queues() == ["full", "posted"]
    store.push("broken", [b"x"], priority=1, token="broken")
    node.ask("DEL", "regiment:{broken}:ready:1")
    node.ask("SET", "regiment:{broken}:ready:1", "no list")
    assert store.queues() == ["broken", "full", "posted"]
