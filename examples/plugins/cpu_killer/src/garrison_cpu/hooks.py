"""What this distribution offers. Loaded wherever garrison runs, so it imports nothing else."""

from __future__ import annotations

from collections.abc import Mapping

from garrison.hooks import Offer, hookimpl


@hookimpl
def garrison_killers() -> Mapping[str, Offer]:
    return {
        "cpu": Offer(
            "garrison_cpu.killer:CpuKiller", contract=1, summary="a budget of processor time"
        )
    }
