"""What is asked about many queues and many consumers of Redis comes in few requests, none of which stops the server for long."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from harness.servers import RedisServer
from regiment.contracts import Terms
from regiment_redis.connector import RedisConnector
from regiment_redis.shard import RENEWED


def calls(node: RedisServer) -> int:
    """Scripts that the server has run."""
    told = node.ask("INFO", "commandstats")
    text = told.decode() if isinstance(told, bytes) else str(told)
    return next((int(line.split("calls=")[1].split(",")[0]) for line in text.splitlines() if "_evalsha:" in line), 0)


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
