"""What this distribution offers."""

from __future__ import annotations

from collections.abc import Mapping

from regiment.hooks import Offer, hookimpl


@hookimpl
def regiment_extensions() -> Mapping[str, Offer]:
    """What a queue names to keep large values elsewhere."""
    return {
        "claims": Offer(
            "regiment_claims.extension:Claiming",
            summary="Keeps large arguments and results elsewhere.",
            trial={"place": "memory://regiment-{fresh}"},
        )
    }


@hookimpl
def regiment_commands() -> Mapping[str, Offer]:
    """A verb that shows what is kept, and removes what is over."""
    return {"claims": Offer("regiment_claims.commands:command", summary="Claims: list, sweep.")}
