"""Servers that all tests of a process share, because none of these tests breaks them: each takes a database of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))
from harness import mongod
from harness.servers import RedisServer, redis
from regiment_redis.connector import RedisConnector


@pytest.fixture(scope="session")
def mongo_alone() -> Iterator[mongod.Cluster]:
    """A stand-alone MongoDB."""
    with mongod.cluster() as made:
        yield made


@pytest.fixture(scope="session")
def mongo_set() -> Iterator[mongod.Cluster]:
    """A replica set of one."""
    with mongod.cluster(replica_set="one") as made:
        yield made


@pytest.fixture(params=["alone", "set"])
def mongo(request: pytest.FixtureRequest) -> mongod.Cluster:
    """A stand-alone server, then a replica set."""
    found: mongod.Cluster = request.getfixturevalue(f"mongo_{request.param}")
    return found


@pytest.fixture(scope="session")
def mongo_url(request: pytest.FixtureRequest) -> str:
    """Where a test may go that asks for no server of a kind: REGIMENT_TEST_MONGO, else the replica set."""
    given = os.environ.get("REGIMENT_TEST_MONGO")
    if given:
        return given
    found: mongod.Cluster = request.getfixturevalue("mongo_set")
    return found.url


@pytest.fixture(scope="module")
def node(redis_release: str) -> Iterator[RedisServer]:
    """A server of Redis that tests of one module share."""
    with redis() as server:
        yield server


@pytest.fixture
def store(node: RedisServer) -> Iterator[RedisConnector]:
    """A connection to it that leases, when it is empty."""
    node.ask("FLUSHALL")
    connector = RedisConnector(node.url)
    connector.open("lease")
    yield connector
    connector.close()
