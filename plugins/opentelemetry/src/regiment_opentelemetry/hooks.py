"""What this distribution offers."""

from __future__ import annotations

from collections.abc import Mapping

from regiment.hooks import Offer, hookimpl


@hookimpl
def regiment_extensions() -> Mapping[str, Offer]:
    """What a queue names whose pushes and runs are to have spans."""
    return {"opentelemetry": Offer("regiment_opentelemetry.extension:Tracing", summary="Spans for pushes and runs.")}
