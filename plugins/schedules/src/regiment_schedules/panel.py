"""The dashboard's page of schedules: what is next, what was last, what is late; and pause, resume, run now."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from regiment.errors import RegimentError
from regiment_cli.panels import Act, Asked, Done
from regiment_schedules.plan import Plan

MOST = 500
"""Schedules on the page."""
GRACE = 5.0
"""Seconds by which a tick may be late without a word: duties look every two."""


class SchedulesPage:
    """What `regiment schedules` says, as a page."""

    templates = Path(__file__).parent / "templates"

    def __init__(self) -> None:
        self.acts: Mapping[str, Act] = {"pause": _pause, "resume": _resume, "run": _run}

    def show(self, asked: Asked) -> tuple[str, Mapping[str, Any]]:
        """All schedules of all queues, those first that are late, then those that are next."""
        found = [entry for queue in asked.queues for entry in Plan(asked.broker, queue).list()]
        never = float("inf")
        found.sort(key=lambda one: (one.late <= GRACE, one.next.timestamp() if one.next else never, one.name))
        late = sum(one.late > GRACE for one in found)
        served = Plan(asked.broker, found[0].queue).served() if found else frozenset[str]()
        idle = sorted({one.queue for one in found if one.next is not None and not one.paused} - served)
        shown = {
            "schedules": found[:MOST],
            "number": len(found),
            "late": late,
            "grace": GRACE,
            "served": served,
            "idle": idle,
        }
        return "schedules.html", shown


def _of(asked: Asked) -> tuple[Plan, str, str]:
    name, queue = asked.values.get("name", ""), asked.values["queue"]
    if not name:
        raise RegimentError("nothing was done: the form has no field name, the schedule's")
    return Plan(asked.broker, queue), name, f'{name} of "{queue}"'


def _pause(asked: Asked) -> Done:
    plan, name, what = _of(asked)
    if plan.get(name).paused:
        return Done(f"{what} is paused already", name, changed=False)
    plan.pause(name)
    return Done(f"{what} is paused", name)


def _resume(asked: Asked) -> Done:
    plan, name, what = _of(asked)
    if not plan.get(name).paused:
        return Done(f"{what} is not paused", name, changed=False)
    plan.resume(name)
    return Done(f"{what} goes on from now", name)


def _run(asked: Asked) -> Done:
    plan, name, what = _of(asked)
    return Done(f"pushed {plan.run_now(name)}, a task of {what}", name)


page = SchedulesPage()
