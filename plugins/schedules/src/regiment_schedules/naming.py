"""Whether a queue names this plugin."""

from __future__ import annotations

from typing import Any

from regiment.config import Use

HERE = ("schedules", "regiment_schedules", "regiment_schedules.hooks")


def named(app: Any) -> bool:
    """True if the queue names this plugin: then it fires schedules that are only in the store, too."""
    return any((item.name if isinstance(item, Use) else item) in HERE for item in app.config.plugins)
