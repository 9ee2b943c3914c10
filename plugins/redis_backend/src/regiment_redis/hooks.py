"""What this distribution offers."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping

from regiment.contracts import Examined, Finding
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


@hookimpl
def regiment_checks(examined: Examined) -> Iterable[Finding]:
    """Rules of `regiment doctor` for Redis."""
    if "regiment_redis.connector" not in sys.modules:
        return ()  # the store is another one, and the driver need not be loaded for that
    from regiment_redis.checks import rules

    return rules(examined)
