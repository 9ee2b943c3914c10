"""What this distribution offers."""

from __future__ import annotations

from collections.abc import Mapping

from regiment.hooks import Offer, hookimpl


@hookimpl
def regiment_commands() -> Mapping[str, Offer]:
    """The verb that shows what is installed."""
    return {
        "plugins": Offer("regiment_cli.plugins:command", summary="What is installed, what it offers, and its state."),
    }
