"""What this distribution offers."""

from __future__ import annotations

from collections.abc import Mapping

from regiment.hooks import Offer, hookimpl


@hookimpl
def regiment_executors() -> Mapping[str, Offer]:
    """Executors, by name."""
    return {
        "dask": Offer(
            "regiment_dask.executor:Dask",
            summary="many tasks at once, on the workers of a Dask cluster",
            trial={"address": "tcp://127.0.0.1:8786", "concurrency": 4},
        )
    }


@hookimpl
def regiment_killers() -> Mapping[str, Offer]:
    """Killers, by name."""
    return {
        "dask": Offer(
            "regiment_dask.killer:Dask",
            summary="gives a late task up and cancels it on its Dask cluster; soft limits only",
        )
    }
