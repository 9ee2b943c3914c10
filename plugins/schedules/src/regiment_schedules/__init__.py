"""Schedules for regiment: every tick exactly once, with no leader."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from regiment_schedules.choice import Schedules
    from regiment_schedules.now import tick
    from regiment_schedules.plan import Entry, Plan, schedules
    from regiment_schedules.spec import Schedule, schedule

_HOMES = {
    "Entry": "plan",
    "Plan": "plan",
    "Schedule": "spec",
    "Schedules": "choice",
    "schedule": "spec",
    "schedules": "plan",
    "tick": "now",
}

__all__ = ["Entry", "Plan", "Schedule", "Schedules", "schedule", "schedules", "tick"]


def __getattr__(name: str) -> Any:
    """Loaded when it is first used: a steward needs none of it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    return found
