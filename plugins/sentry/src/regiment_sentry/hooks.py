"""What this distribution offers."""

from __future__ import annotations

from collections.abc import Mapping

from regiment.hooks import Offer, hookimpl


@hookimpl
def regiment_extensions() -> Mapping[str, Offer]:
    """What a queue names whose dead tasks are to be reported."""
    return {"sentry": Offer("regiment_sentry.extension:Reporting", summary="Dead tasks and killed workers in Sentry.")}
