"""The Redis connector sits the connector examination: on one node, in a cluster of three, behind sentinels, on two nodes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))
from garrison.contracts import Connector, Role
from garrison.testing.contracts import ConnectorContract
from garrison_redis.connector import RedisConnector
from servers import RedisServer, cluster, redis, sentinel

Connect = Callable[[Role], Connector]


def opener(**options: object) -> Connect:
    """What the examination asks for: a new connector, opened."""

    def connect(role: Role) -> Connector:
        connector = RedisConnector(**options)  # type: ignore[arg-type]
        connector.open(role)
        return connector

    return connect


@pytest.fixture(scope="module")
def node() -> Iterator[RedisServer]:
    with redis() as server:
        yield server


@pytest.fixture(scope="module")
def members() -> Iterator[list[RedisServer]]:
    with cluster() as members:
        yield members


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with sentinel() as guarded:
        guarded.fail_over()
        yield guarded.url


@pytest.fixture(scope="module")
def other() -> Iterator[RedisServer]:
    with redis() as server:
        yield server


class TestOneNode(ConnectorContract):
    capabilities = RedisConnector.capabilities

    @pytest.fixture
    def connect(self, node: RedisServer) -> Connect:
        node.ask("FLUSHALL")
        return opener(url=node.url)


class TestClusterOfThree(ConnectorContract):
    capabilities = RedisConnector.capabilities

    @pytest.fixture
    def connect(self, members: list[RedisServer]) -> Connect:
        for member in members:
            member.ask("FLUSHALL")
        hosts = ",".join(f"127.0.0.1:{member.port}" for member in members[:2])
        return opener(url=f"redis+cluster://{hosts}")


class TestBehindSentinels(ConnectorContract):
    capabilities = RedisConnector.capabilities

    @pytest.fixture
    def connect(self, url: str) -> Connect:
        first = RedisConnector(url)
        first._store.root.link("").command("FLUSHALL")  # type: ignore[union-attr]
        first.close()
        return opener(url=url)


ORDER_OVER_NODES = {
    "test_a_revived_letter_is_ready_at_the_tail_of_its_priority",
    "test_again_with_a_priority_changes_it",
    "test_no_more_than_the_limit",
    "test_a_lower_priority_number_comes_first",
    "test_due_tasks_join_the_tail_of_their_priority_in_due_order",
    "test_processes_that_push_at_once_lose_nothing_and_keep_their_own_order",
    "test_purge_deletes_what_waits_and_nothing_else",
    "test_a_paused_queue_leases_nothing_and_settles",
}
"""Checks that compare tasks of several pushes: these lie on several nodes, and each node keeps its own order only."""


class TestTwoNodes(ConnectorContract):
    capabilities = RedisConnector.capabilities

    @pytest.fixture
    def connect(
        self, request: pytest.FixtureRequest, node: RedisServer, other: RedisServer
    ) -> Connect:
        if request.node.originalname in ORDER_OVER_NODES:
            request.node.add_marker(
                pytest.mark.xfail(reason="no order over several nodes", strict=False)
            )
        node.ask("FLUSHALL")
        other.ask("FLUSHALL")
        return opener(nodes=[node.url, {"host": "127.0.0.1", "port": other.port}])
