"""What this distribution offers. Loaded wherever regiment runs, so it imports nothing else."""

from __future__ import annotations

from collections.abc import Mapping

from regiment.hooks import Offer, hookimpl


@hookimpl
def regiment_connectors() -> Mapping[str, Offer]:
    return {
        "postgres": Offer(
            "regiment_postgres.connector:PostgresConnector",
            contract=1,
            summary="PostgreSQL 14 or later",
            schemes=("postgresql", "postgres"),
        ),
    }
