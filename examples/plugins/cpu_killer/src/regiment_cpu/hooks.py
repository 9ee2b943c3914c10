"""What this distribution offers. Loaded wherever regiment runs, so it imports nothing else."""

from __future__ import annotations

from collections.abc import Mapping

from regiment.hooks import Offer, hookimpl


@hookimpl
def regiment_killers() -> Mapping[str, Offer]:
    return {"cpu": Offer("regiment_cpu.killer:CpuKiller", contract=1, summary="a budget of processor time")}
