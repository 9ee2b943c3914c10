"""A redis-server of the test's own, which it may stop and break, and a proxy before it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.proxy import Proxy
from harness.servers import RedisServer, redis


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """One node with its log on disk (everysec)."""
    with redis() as server:
        yield server


@pytest.fixture
def store(server: RedisServer) -> str:
    """The site looks, and pushes, straight at the server."""
    return server.url


@pytest.fixture
def proxy(server: RedisServer) -> Iterator[Proxy]:
    """A way to the server that can misbehave."""
    with Proxy(server.port) as proxy:
        yield proxy
