"""The Redis connector beside a bare loop: CPU µs per task, client and server, and their ratio.

    python benchmark/redis_connector.py [--tasks 20000] [--rounds 3] [--program PATH]

The bare loop does everything but the framework: decode, task object, note and deadline into shared memory, call, finished
mark; one script checks the fence, settles all, looks for due tasks and leases the next. The connector's loop differs in
`RedisConnector.exchange` only. Both run in turn against the same server in one process; the median round counts.
"""

from __future__ import annotations

import argparse
import mmap
import statistics
import struct
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import hiredis
import msgpack

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from garrison.contracts import Done, Terms
from garrison_redis.connector import RedisConnector
from servers import RedisServer, redis

BARE = b"""
if redis.call('ZSCORE', KEYS[1], ARGV[1]) == false then return 0 end
if ARGV[3] ~= '0' then redis.call('DEL', KEYS[2] .. ARGV[3]) end
local now = redis.call('TIME')
local due = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now[1], 'LIMIT', 0, 100)
local got = redis.call('LPOP', KEYS[4], ARGV[4])
if not got then return {due} end
redis.call('RPUSH', KEYS[2] .. ARGV[2], unpack(got))
return {due, got}
"""


class Page:
    """What a worker writes for each task."""

    def __init__(self) -> None:
        self._map = mmap.mmap(-1, 4096)
        self._note = struct.Struct("<QQQ").pack_into
        self._mark = struct.Struct("<Q").pack_into

    def begin(self, number: int, deadline: int) -> None:
        self._note(self._map, 0, deadline, deadline, number << 3 | 1)

    def end(self, number: int) -> None:
        self._mark(self._map, 16, number << 3 | 5)


class Job:
    __slots__ = ("date", "id", "kwargs", "name")

    def __init__(self, id: str, name: str, kwargs: dict[str, Any], date: float) -> None:
        self.id, self.name, self.kwargs, self.date = id, name, kwargs, date


def no_op(job: Job) -> None:
    pass


def run_one(page: Page, number: int, payload: bytes, unpackb: Callable[[bytes], Any]) -> None:
    id, name, kwargs, date = unpackb(payload)
    job = Job(id, name, kwargs, date)
    page.begin(number, time.monotonic_ns() + 30_000_000_000)
    no_op(job)
    page.end(number)


def bare_loop(sock: Any, reader: Any, sha: str, tasks: int, batch: int, page: Page) -> int:
    pack, unpackb, base, before, done = hiredis.pack_command, msgpack.unpackb, 1, "0", 0
    buffer = bytearray(65_536)
    while True:
        command = (
            "EVALSHA",
            sha,
            4,
            "{b}:consumers",
            "{b}:held:",
            "{b}:due",
            "{b}:ready",
            "me",
            base,
            before,
            batch,
        )
        sock.sendall(pack(command))
        while True:
            reader.feed(buffer, 0, sock.recv_into(buffer))
            if (reply := reader.gets()) is not False:
                break
        if len(reply) < 2:
            return done
        before = str(base)
        for payload in reply[1]:
            run_one(page, base, payload, unpackb)
            base += 1
            done += 1


def connector_loop(store: RedisConnector, consumer: str, batch: int, page: Page) -> int:
    turn, base, settlements, done, unpackb = 0, 1, [], 0, msgpack.unpackb
    while True:
        turn += 1
        taken = store.exchange("bench", consumer, turn, base, settlements, batch, 8 << 20)
        if not taken.deliveries:
            return done
        for delivery in taken.deliveries:
            run_one(page, delivery.receipt, delivery.payload, unpackb)
            done += 1
        settlements = [Done(base, base + len(taken.deliveries) - 1)]
        base += len(taken.deliveries)


def measured(server: RedisServer, work: Callable[[], int]) -> tuple[float, float, float]:
    """CPU µs of client and server, and wall µs, for each task of `work`."""
    server_before, client_before, wall = server.cpu(), time.process_time(), time.perf_counter()
    done = work()
    client, wall = time.process_time() - client_before, time.perf_counter() - wall
    return client / done * 1e6, (server.cpu() - server_before) / done * 1e6, wall / done * 1e6


def record(number: int) -> bytes:
    packed: bytes = msgpack.packb((f"01jd3k7q9zx4w8yc2m-{number:x}", "greet", {"n": number}, 1.7e9))
    return packed


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--tasks", type=int, default=20_000)
    options.add_argument("--rounds", type=int, default=5)
    options = options.parse_args()
    with redis() as server:
        store = RedisConnector(server.url)
        store.open("push")
        page = Page()
        wire = RedisConnector(server.url)._store.root.connect()  # type: ignore[union-attr]
        sock, reader = wire.sock, hiredis.Reader()
        wire.ask(hiredis.pack_command(("ZADD", "{b}:consumers", 1, "me")))
        sha = wire.ask(hiredis.pack_command(("SCRIPT", "LOAD", BARE))).decode()
        print(
            "exchange, CPU us per task     bare client/server    connector client/server    ratio"
        )
        for batch in (1, 100, 1000):
            tasks = options.tasks if batch == 1 else options.tasks * 10
            bare, ours = [], []
            for round in range(options.rounds):
                for start in range(0, tasks, 1000):
                    payloads = [record(i) for i in range(start, start + 1000)]
                    wire.ask(hiredis.pack_command(("RPUSH", "{b}:ready", *payloads)))
                    store.push("bench", payloads, priority=1, token=f"{batch}.{round}.{start}")
                consumer = f"{batch}.{round}"
                store.join("bench", consumer, Terms())
                bare.append(
                    measured(server, partial(bare_loop, sock, reader, sha, tasks, batch, page))
                )
                ours.append(measured(server, partial(connector_loop, store, consumer, batch, page)))
                store.release("bench", consumer, [], {}, close=True)
            b, o = (
                [statistics.median(column) for column in zip(*rows, strict=True)]
                for rows in (bare, ours)
            )
            print(
                f"{f'batch {batch}':<28}{b[0]:>9.2f} /{b[1]:>7.2f}{o[0]:>16.2f} /{o[1]:>7.2f}"
                f"{o[0] / b[0]:>15.2f} /{o[1] / b[1]:>5.2f}    {1e6 / b[2]:,.0f} -> {1e6 / o[2]:,.0f} tasks/s"
            )
        payload = record(1)

        def push_one() -> int:
            for i in range(options.tasks):
                store.push("p", [payload], priority=1, token=f"one-{i}")
            return options.tasks

        def push_many() -> int:
            for i in range(options.tasks // 100):
                store.push("p", [payload] * 1000, priority=1, token=f"many-{i}")
            return options.tasks * 10

        for name, work in (("push one", push_one), ("push 1,000", push_many)):
            client, servers, wall = measured(server, work)
            print(f"{name:<28}{client:>37.2f} /{servers:>7.2f}{'':>25}{1e6 / wall:,.0f} tasks/s")
        store.close()


if __name__ == "__main__":
    main()
