"""The Redis connector sits the connector examination: on one node, in a cluster of three, behind sentinels, on two nodes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))
from harness.servers import RedisServer, cluster, redis, sentinel
from regiment.contracts import Connector, Role
from regiment_redis.connector import RedisConnector
from regiment_testing.contracts import ConnectorContract

Connect = Callable[[Role], Connector]


def opener(**options: object) -> Connect:
    """What the examination asks for: a new connector, opened."""

    def connect(role: Role) -> Connector:
        connector = RedisConnector(**options)  # type: ignore[arg-type]
        connector.open(role)
        return connector

    return connect


@pytest.fixture(scope="module")
def node(redis_release: str) -> Iterator[RedisServer]:
    with redis() as server:
        yield server


@pytest.fixture(scope="module")
def members(redis_release: str) -> Iterator[list[RedisServer]]:
    with cluster() as members:
        yield members


@pytest.fixture(scope="module")
def url(redis_release: str) -> Iterator[str]:
    with sentinel() as guarded:
        guarded.fail_over()
        guarded.be_patient()
        yield guarded.url


@pytest.fixture(scope="module")
def other(redis_release: str) -> Iterator[RedisServer]:
    with redis() as server:
        yield server


class TestOneNode(ConnectorContract):
    capabilities = RedisConnector.capabilities

    @pytest.fixture
    def connect(self, node: RedisServer) -> Connect:
        node.ask("FLUSHALL")
        return opener(url=node.url)


class TestClusterOfThree(ConnectorContract):
    newest_release = True
    capabilities = RedisConnector.capabilities

    @pytest.fixture
    def connect(self, members: list[RedisServer]) -> Connect:
        for member in members:
            member.ask("FLUSHALL")
        hosts = ",".join(f"127.0.0.1:{member.port}" for member in members[:2])
        return opener(url=f"redis+cluster://{hosts}")


class TestBehindSentinels(ConnectorContract):
    newest_release = True
    capabilities = RedisConnector.capabilities

    @pytest.fixture
    def connect(self, url: str) -> Connect:
        first = RedisConnector(url)
        first._store.root.link("").command("FLUSHALL")  # type: ignore[union-attr]
        first.close()
        return opener(url=url)


class TestTwoNodes(ConnectorContract):
    newest_release = True
    """Each queue on a node of its own; with each push on another (`test_redis_faults`) there is no common order. Budgets of a queue
    that is spread would be a lie: several nodes keep no flow.
    """

    capabilities = RedisConnector.capabilities._replace(extras=RedisConnector.capabilities.extras - {"flow"})

    @pytest.fixture
    def connect(self, node: RedisServer, other: RedisServer) -> Connect:
        node.ask("FLUSHALL")
        other.ask("FLUSHALL")
        return opener(nodes=[node.url, {"host": "127.0.0.1", "port": other.port}], spread="queue")
