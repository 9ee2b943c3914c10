"""What this distribution offers."""

from __future__ import annotations

from collections.abc import Mapping

from garrison.hooks import Offer, hookimpl


@hookimpl
def garrison_connectors() -> Mapping[str, Offer]:
    return {
        "redis": Offer(
            "garrison_redis.connector:RedisConnector",
            schemes=("redis", "rediss", "unix", "redis+sentinel", "redis+cluster"),
            summary="Redis 6.2 and later: one server, sentinel, cluster, several independent nodes",
        )
    }
