"""What this distribution offers. Loaded wherever regiment runs, so it imports nothing else."""

from __future__ import annotations

from collections.abc import Mapping

from regiment.hooks import Offer, hookimpl


@hookimpl
def regiment_executors() -> Mapping[str, Offer]:
    target = "regiment_trio.executor:TrioExecutor"
    return {"trio": Offer(target, contract=1, summary="threads of one trio loop, which tasks share")}
