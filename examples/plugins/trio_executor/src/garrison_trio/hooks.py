"""What this distribution offers. Loaded wherever garrison runs, so it imports nothing else."""

from __future__ import annotations

from collections.abc import Mapping

from garrison.hooks import Offer, hookimpl


@hookimpl
def garrison_executors() -> Mapping[str, Offer]:
    target = "garrison_trio.executor:TrioExecutor"
    return {
        "trio": Offer(target, contract=1, summary="threads of one trio loop, which tasks share")
    }
