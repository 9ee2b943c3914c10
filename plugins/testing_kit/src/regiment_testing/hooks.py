"""What this distribution offers."""

from __future__ import annotations

from collections.abc import Mapping

from regiment.hooks import Offer, hookimpl


@hookimpl
def regiment_commands() -> Mapping[str, Offer]:
    """Verbs for the authors of plugins."""
    return {
        "plugins check": Offer(
            "regiment_testing.plugins_check:command", summary="Examine a part against its contract."
        ),
        "plugins new": Offer("regiment_testing.plugins_new:command", summary="Make a plugin to start from."),
    }
