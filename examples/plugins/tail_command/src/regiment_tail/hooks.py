"""What this distribution offers. Loaded wherever regiment runs, so it imports nothing else."""

from __future__ import annotations

from collections.abc import Mapping

from regiment.hooks import Offer, hookimpl


@hookimpl
def regiment_commands() -> Mapping[str, Offer]:
    return {"tail": Offer("regiment_tail.command:command", contract=1, summary="dead letters as they come")}
