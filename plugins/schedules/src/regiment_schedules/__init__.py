"""Schedules for regiment: every tick exactly once, with no leader."""

from __future__ import annotations

from typing import TYPE_CHECKING

from regiment import lazily

__all__ = [
    *lazily(
        globals(), {"plan": "Entry Plan schedules", "spec": "Schedule schedule", "choice": "Schedules", "now": "tick"}
    )
]

if TYPE_CHECKING:
    from regiment_schedules.choice import Schedules as Schedules
    from regiment_schedules.now import tick as tick
    from regiment_schedules.plan import Entry as Entry
    from regiment_schedules.plan import Plan as Plan
    from regiment_schedules.plan import schedules as schedules
    from regiment_schedules.spec import Schedule as Schedule
    from regiment_schedules.spec import schedule as schedule
