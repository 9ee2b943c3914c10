"""Schedules for regiment: every tick exactly once, with no leader."""

from __future__ import annotations

from regiment_schedules.choice import Schedules
from regiment_schedules.now import tick
from regiment_schedules.spec import Schedule, schedule

__all__ = ["Schedule", "Schedules", "schedule", "tick"]
