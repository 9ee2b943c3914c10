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
from servers import RedisServer, redis

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


class TestOneNode(ConnectorContract):
    capabilities = RedisConnector.capabilities

    @pytest.fixture
    def connect(self, node: RedisServer) -> Connect:
        node.ask("FLUSHALL")
        return opener(url=node.url)
