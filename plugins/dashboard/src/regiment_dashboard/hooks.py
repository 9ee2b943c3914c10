"""What this distribution offers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from regiment.contracts import Service
from regiment.hooks import Offer, hookimpl


@hookimpl
def regiment_commands() -> Mapping[str, Offer]:
    """The verb that serves the pages."""
    return {
        "dashboard": Offer("regiment_dashboard.commands:command", summary="Serve pages that show a store's queues.")
    }


@hookimpl
def regiment_services(spec: Mapping[str, Any]) -> Mapping[str, Service]:
    """The server of a tree that was started with `--dashboard`."""
    asked = spec.get("beside", {}).get("dashboard")
    return {"dashboard": Service("regiment_dashboard.beside:Beside", asked, "server")} if asked else {}
