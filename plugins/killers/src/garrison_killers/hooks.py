"""What this distribution offers."""

from __future__ import annotations

from collections.abc import Mapping

from garrison.hooks import Offer, hookimpl


@hookimpl
def garrison_killers() -> Mapping[str, Offer]:
    """Killers, by name."""
    return {
        "process": Offer(
            "garrison_killers.process:Process",
            summary="soft strike by signal, then SIGKILL; any executor",
        ),
    }
