"""What this distribution offers. Loaded wherever garrison runs, so it imports nothing else."""

from __future__ import annotations

from collections.abc import Mapping

from garrison.hooks import Offer, hookimpl


@hookimpl
def garrison_connectors() -> Mapping[str, Offer]:
    return {
        "postgres": Offer(
            "garrison_postgres.connector:PostgresConnector",
            contract=1,
            summary="PostgreSQL 14 or later",
            schemes=("postgresql", "postgres"),
        ),
    }
