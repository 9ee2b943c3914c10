"""What this distribution offers."""

from __future__ import annotations

from collections.abc import Mapping

from regiment.hooks import Offer, hookimpl


@hookimpl
def regiment_connectors() -> Mapping[str, Offer]:
    return {
        "redis": Offer(
            "regiment_redis.connector:RedisConnector",
            schemes=("redis", "rediss", "unix", "redis+sentinel", "redis+cluster"),
            summary="Redis 6.2 and later: one server, sentinel, cluster, several independent nodes",
        )
    }
