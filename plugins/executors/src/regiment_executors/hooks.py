"""What this distribution offers."""

from __future__ import annotations

from collections.abc import Mapping

from regiment.hooks import Offer, hookimpl


@hookimpl
def regiment_executors() -> Mapping[str, Offer]:
    """Executors, by name."""
    return {
        "serial": Offer("regiment_executors.serial:Serial", summary="one task at a time, in the main thread"),
        "threaded": Offer("regiment_executors.threaded:Threaded", summary="several tasks at once, in threads"),
        "asyncio": Offer("regiment_executors.loop:Asyncio", summary="many tasks at once, on an event loop"),
    }
