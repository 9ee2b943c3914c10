"""Several independent Redis as one store."""

from __future__ import annotations

from typing import Any

from garrison_redis.shard import Shard


class Spread:
    """Placeholder of the next commit."""

    def __init__(self, shards: list[Shard]) -> None:
        raise NotImplementedError("several nodes")

    def __getattr__(self, name: str) -> Any:
        raise NotImplementedError(name)
