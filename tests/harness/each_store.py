"""One body of a test, every store: `@on_each_store` runs it on each, with a `site` on an empty one.

A server is started when the first test asks for it and serves all tests of the process; what stops or breaks a server
starts its own (`servers.py`, `mongod.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from harness import mongod
from harness.servers import RedisServer, redis


class Stores:
    """The servers of one test process."""

    def __init__(self) -> None:
        self._servers = ExitStack()
        self._redis: RedisServer | None = None
        self._mongo: str | None = None

    def close(self) -> None:
        """End the servers."""
        self._servers.close()

    def sqlite(self, folder: Path) -> str:
        """A file in the test's folder."""
        return f"sqlite:///{folder}/queue.db"

    def redis(self, _: Path) -> str:
        """One node with its log on disk, emptied."""
        if self._redis is None:
            self._redis = self._servers.enter_context(redis())
        self._redis.ask("FLUSHALL")
        return self._redis.url

    def mongo(self, _: Path) -> str:
        """A replica set of one, emptied."""
        if self._mongo is None:
            self._mongo = self._servers.enter_context(mongod.address())
        mongod.empty(self._mongo, "faults")
        return mongod.with_database(self._mongo, "faults")


STORES: dict[str, Callable[[Stores, Path], str]] = {
    "sqlite": Stores.sqlite,
    "redis": Stores.redis,
    "mongo": Stores.mongo,
}
"""Name of a store, as it stands in the names of tests, to what gives an empty one: its URL."""

on_each_store = pytest.mark.parametrize("store", STORES, indirect=True)
