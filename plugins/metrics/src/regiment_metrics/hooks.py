"""What this distribution offers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from regiment.contracts import Service
from regiment.hooks import Offer, hookimpl


@hookimpl
def regiment_commands() -> Mapping[str, Offer]:
    """An exporter for a store, and the number that an autoscaler asks for."""
    return {
        "metrics": Offer("regiment_metrics.commands:metrics", summary="Serve a store's metrics to Prometheus."),
        "scale": Offer("regiment_metrics.commands:scale", summary="How many workers a queue needs."),
    }


@hookimpl
def regiment_services(spec: Mapping[str, Any]) -> Mapping[str, Service]:
    """The server of a tree that was started with `--metrics`."""
    asked = spec.get("beside", {}).get("metrics")
    return {"metrics": Service("regiment_metrics.beside:Beside", asked, "server")} if asked else {}
