"""What this package offers: the connector "mongo"."""

from __future__ import annotations

from collections.abc import Mapping

from garrison.hooks import Offer, hookimpl


@hookimpl
def garrison_connectors() -> Mapping[str, Offer]:
    return {
        "mongo": Offer(
            "garrison_mongo.connector:MongoConnector",
            schemes=("mongodb", "mongodb+srv"),
            summary="MongoDB 6 and later: replica sets, stand-alone servers, several clusters",
        )
    }
