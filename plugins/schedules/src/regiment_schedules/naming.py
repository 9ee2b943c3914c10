"""Whether a queue names this plugin: then it fires schedules that are only in the store, too."""

from __future__ import annotations

from typing import Any

from regiment.config import Use


def extended(app: Any) -> bool:
    """True if the queue names the extension."""
    return any(isinstance(item, Use) and item.name == "schedules" for item in app.config.plugins)
