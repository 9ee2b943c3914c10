"""A connector and the store behind it, from a process of its own: CPU of both sides for each piece of work, bytes in the store."""

from __future__ import annotations

import itertools
import os
import sqlite3
import statistics
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

from benchmark.growth.sizes import Sizes
from benchmark.measure import metering
from harness import servers
from regiment.contracts import Done, Settlement, Taken, Terms
from regiment.task import new_ids

PAYLOAD = b"p" * 70
PRIORITY = 5
SLICES = 5
"""A figure is the median of so many slices."""
PART = 200
"""Pieces of work in a slice, one by one."""
BATCH = 100
BULK = 1_000
DAY = 86_400.0

Figures = dict[str, float]


def connector(url: str) -> Any:
    """The store's connector, from whichever checkout this process has on its path."""
    kind = urlsplit(url).scheme
    if kind == "redis":
        from regiment_redis.connector import RedisConnector

        return RedisConnector(url, timeout=60)
    if kind == "sqlite":
        from regiment_local.local import LocalConnector

        return LocalConnector(path=url.removeprefix("sqlite:///"))
    from regiment_mongo.connector import MongoConnector

    return MongoConnector(url, timeout=30)


class Meter:
    """What works in the store and watches it. `pid` is the server's, 0 where there is none."""

    def __init__(self, url: str, pid: int, sizes: Sizes) -> None:
        self.url, self.pid, self.sizes = url, pid, sizes
        self.kind = urlsplit(url).scheme
        self.store = connector(url)
        self.store.open("lease")
        self._until = time.monotonic() + sizes.seconds

    def timed(
        self, work: Callable[[], int], prepare: Callable[[], object] = lambda: None, slices: int = SLICES
    ) -> Figures:
        """µs of CPU of the server and of this process, and µs that passed, for each of the pieces that `work` says it did."""
        found = []
        for _ in range(slices):
            prepare()
            server, client, wall = metering.cpu(self.pid) if self.pid else 0.0, time.process_time(), time.perf_counter()
            pieces = work()
            wall, client = time.perf_counter() - wall, time.process_time() - client
            server = metering.cpu(self.pid) - server if self.pid else 0.0
            found.append([1e6 * each / pieces for each in (server, client, wall)])
        middle = [statistics.median(each) for each in zip(*found, strict=True)]
        return dict(zip(("server_us", "client_us", "wall_us"), middle, strict=True))

    def bytes(self) -> float:
        """What the store holds: memory of Redis, pages of SQLite, documents and indexes of MongoDB."""
        if self.kind == "redis":
            time.sleep(0.2)  # what is freed in the background
            info = servers.ask(urlsplit(self.url).port or 6379, "INFO")
            assert isinstance(info, bytes)
            return metering.redis_counters(info.decode())["memory"]
        if self.kind == "sqlite":
            with closing(sqlite3.connect(self.url.removeprefix("sqlite:///"), timeout=30)) as db:
                pages, free, size = (
                    db.execute(f"PRAGMA {n}").fetchone()[0] for n in ("page_count", "freelist_count", "page_size")
                )
                return float((pages - free) * size)
        from pymongo import MongoClient

        with MongoClient[dict[str, Any]](self.url) as client:
            told = client.get_default_database().command("dbStats")
            return float(told["dataSize"] + told["indexSize"])

    def push(self, queue: str, count: int = 1, delay: float = 0.0) -> int:
        """So many tasks in one call."""
        token = next(new_ids(1))
        self.store.push(queue, [PAYLOAD] * count, priority=PRIORITY, delay=delay, token=token, token_window=600.0)
        return count

    def pushes(self, queue: str, count: int, delay: float = 0.0) -> int:
        """So many, one by one."""
        for _ in range(count):
            self.push(queue, 1, delay)
        return count

    def fill(self, have: int, want: int, more: Callable[[int], int]) -> int:
        """Add by `more`, a thousand at a time, until there are `want`, or the time is up; how many there are."""
        while have < want and time.monotonic() < self._until:
            have += more(min(BULK, want - have))
        return have


class Consumer:
    """A worker's part of the contract: it takes, and settles what it had with the next request."""

    _numbers = itertools.count()

    def __init__(self, meter: Meter, queue: str, dead_limit: int = 10**9) -> None:
        self.meter, self.queue, self.id = meter, queue, f"{os.getpid()}-{next(self._numbers)}"
        self.turn, self.base, self._ends = 0, 1, list[Settlement]()
        meter.store.join(queue, self.id, Terms(lease=3600.0, dead_limit=dead_limit))

    def exchange(self, limit: int = 1) -> Taken:
        """One request; what it takes is done with the next one."""
        self.turn += 1
        taken: Taken = self.meter.store.exchange(
            self.queue, self.id, self.turn, self.base, self._ends, limit, 8 << 20, True
        )
        many = len(taken.deliveries)
        self.end([Done(self.base, self.base + many - 1)] if many else [])
        self.base += many
        return taken

    def end(self, settlements: Iterable[Settlement]) -> None:
        """What the next request settles."""
        self._ends = list(settlements)

    def work(self, count: int, limit: int) -> int:
        """Take so many tasks that wait, `limit` a request."""
        done = 0
        while done < count:
            many = len(self.exchange(limit).deliveries)
            assert many, f"{done} of {count} tasks could be taken"
            done += many
        return done
