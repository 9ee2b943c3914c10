"""Private stores: a Redis, a MongoDB, a PostgreSQL, a folder for SQLite, on free loopback ports and in folders of their own."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from postgres_server import Server, programs

from benchmark.measure import metering
from benchmark.measure.processes import Failed
from benchmark.peers.system import Store
from harness import mongod, servers

ABSENT = "not run here"
"""How the error of a step begins whose server is not installed; it stands in the tables."""


class Place:
    """A store that runs. `pid` is None where no server is."""

    def __init__(self, kind: Store, url: str, folder: Path, pid: int | None = None) -> None:
        self.kind, self.url, self.folder, self.pid = kind, url, folder, pid
        self._redis: servers.RedisServer | None = None

    @classmethod
    def of_redis(cls, server: servers.RedisServer, folder: Path) -> Place:
        made = cls("redis", server.url, folder, server.pid)
        made._redis = server
        return made

    def free(self) -> bool:
        """False if somebody has the write lock of SQLite's file."""
        if self.kind != "sqlite":
            return True
        with closing(sqlite3.connect(self.url.removeprefix("sqlite:///"), timeout=0.02, isolation_level=None)) as db:
            try:
                db.execute("BEGIN IMMEDIATE")
                db.execute("ROLLBACK")
            except sqlite3.OperationalError:
                return False
        return True

    def cpu(self) -> float:
        """Seconds of CPU that the server has used; 0 where there is none."""
        if self.pid is None:
            return 0.0
        return metering.tree_cpu([self.pid]) if self.kind == "postgres" else metering.cpu(self.pid)

    def counters(self) -> dict[str, float]:
        """Counts of the server since its start; empty where it tells none."""
        if self._redis is None:
            return {}
        info = self._redis.ask("INFO")
        assert isinstance(info, bytes)
        return metering.redis_counters(info.decode())


@contextmanager
def place(kind: Store, release: str = "") -> Iterator[Place]:
    """A store of its own for one session; empty, and gone afterwards. Failed where its server is not installed, in this
    `release` if it is a Redis.
    """
    folder = Path(tempfile.mkdtemp(prefix="regiment-bench-"))
    try:
        if kind == "redis":
            with servers.redis("--maxclients", "12000", release=release) as server:
                yield Place.of_redis(server, folder)
        elif kind == "mongo":
            with mongod.cluster(replica_set="bench") as cluster:
                yield Place("mongo", cluster.at("bench"), folder, cluster.members[0].pid)
        elif kind == "postgres":
            with _postgres() as server:
                yield Place("postgres", server.url, folder, server.pid)
        else:
            yield Place("sqlite", f"sqlite:///{folder}/queue.db", folder)
    except pytest.skip.Exception as why:  # the words of the tests' servers
        raise Failed(f"{ABSENT}: {why}") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _postgres() -> Iterator[Server]:
    """A PostgreSQL that writes to the disk before it answers, as it does by default. Failed if none is installed."""
    try:
        programs()
    except RuntimeError as why:
        raise Failed(f"{ABSENT}: {why}") from None
    server = Server("fsync=on", "max_connections=300")
    try:
        yield server.start()
    finally:
        server.close()
