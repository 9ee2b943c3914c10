"""What this distribution offers. Loaded wherever garrison runs, so it imports nothing else."""

from __future__ import annotations

from collections.abc import Mapping

from garrison.hooks import Offer, hookimpl


@hookimpl
def garrison_commands() -> Mapping[str, Offer]:
    return {
        "tail": Offer(
            "garrison_tail.command:command", contract=1, summary="dead letters as they come"
        )
    }
