"""What this distribution offers."""

from __future__ import annotations

from collections.abc import Mapping

from regiment.hooks import Offer, hookimpl


@hookimpl
def regiment_extensions() -> Mapping[str, Offer]:
    """What a queue names to take part in flows."""
    return {
        "workflows": Offer("regiment_workflows.extension:Working", summary="Chains, groups, chords, maps and graphs.")
    }


@hookimpl
def regiment_commands() -> Mapping[str, Offer]:
    """A verb that looks after flows."""
    return {"flows": Offer("regiment_workflows.commands:command", summary="Flows: list, show, cancel, retry, open.")}
