"""What this package offers: the connector "mongo"."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping

from regiment.contracts import Examined, Finding
from regiment.hooks import Offer, hookimpl


@hookimpl
def regiment_connectors() -> Mapping[str, Offer]:
    return {
        "mongo": Offer(
            "regiment_mongo.connector:MongoConnector",
            schemes=("mongodb", "mongodb+srv"),
            summary="MongoDB 6 and later: replica sets, stand-alone servers, several clusters",
        )
    }


@hookimpl
def regiment_checks(examined: Examined) -> Iterable[Finding]:
    """Rules of `regiment doctor` for MongoDB."""
    if "regiment_mongo.connector" not in sys.modules:
        return ()  # the store is another one, and the driver need not be loaded for that
    from regiment_mongo.checks import rules

    return rules(examined)
