"""What this distribution offers."""

from __future__ import annotations

from collections.abc import Mapping

from regiment.hooks import Offer, hookimpl


@hookimpl
def regiment_killers() -> Mapping[str, Offer]:
    """Killers, by name."""
    return {
        "process": Offer(
            "regiment_killers.process:Process",
            summary="soft strike by signal in the main thread, then SIGKILL; any executor",
        ),
        "thread": Offer(
            "regiment_killers.thread:Thread",
            summary="an exception in one thread, soft limits only; ends nothing that runs in C",
        ),
        "coroutine": Offer(
            "regiment_killers.coroutine:Coroutine",
            summary="cancels a coroutine, then SIGKILL; asyncio",
        ),
    }
