"""What this distribution offers."""

from __future__ import annotations

from collections.abc import Mapping

from regiment.hooks import Offer, hookimpl


@hookimpl
def regiment_extensions() -> Mapping[str, Offer]:
    """What a queue names to keep the results of its tasks."""
    return {
        "results": Offer("regiment_results.extension:Keeping", summary="Keeps what a task returned, to be waited for.")
    }


@hookimpl
def regiment_commands() -> Mapping[str, Offer]:
    """A verb that reads results and waits for them."""
    return {"results": Offer("regiment_results.commands:command", summary="Results: list, show, wait for, forget.")}
