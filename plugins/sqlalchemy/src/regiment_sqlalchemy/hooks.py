"""What this distribution offers."""

from __future__ import annotations

from collections.abc import Mapping

from regiment.hooks import Offer, hookimpl


@hookimpl
def regiment_extensions() -> Mapping[str, Offer]:
    """What a queue names to have an outbox."""
    return {
        "outbox": Offer(
            "regiment_sqlalchemy.extension:Relayed",
            summary="Pushes that are rows of a transaction of SQLAlchemy, and their relay.",
        )
    }


@hookimpl
def regiment_commands() -> Mapping[str, Offer]:
    """The verb that shows and relays what stands in outboxes."""
    return {"outbox": Offer("regiment_sqlalchemy.commands:command", summary="Outboxes: list, relay, retry, drop.")}
