"""What this distribution offers."""

from __future__ import annotations

from collections.abc import Mapping

from regiment.hooks import Offer, hookimpl


@hookimpl
def regiment_commands() -> Mapping[str, Offer]:
    """The verb that serves the pages."""
    return {
        "dashboard": Offer("regiment_dashboard.commands:command", summary="Serve pages that show a store's queues.")
    }
