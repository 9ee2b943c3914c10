"""What this distribution offers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from regiment.contracts import EFFECTS, Application, Service
from regiment.hooks import Offer, hookimpl
from regiment_schedules.choice import service
from regiment_schedules.naming import extended

if TYPE_CHECKING:
    from regiment_cli.panels import Panel


@hookimpl
def regiment_extensions() -> Mapping[str, Offer]:
    """What a queue names to fire schedules that only the store has."""
    return {
        "schedules": Offer("regiment_schedules.choice:Firing", summary="Fires schedules that were added at run time.")
    }


@hookimpl
def regiment_commands() -> Mapping[str, Offer]:
    """The verb that shows and changes schedules."""
    return {
        "schedules": Offer("regiment_schedules.commands:command", summary="Schedules: list, next, add, pause, run.")
    }


@hookimpl
def regiment_task_settings() -> Mapping[str, str]:
    """What a task may say."""
    return {"schedules": "a list of schedule(…): when it is pushed"}


@hookimpl
def regiment_task_declared(task: Any) -> None:
    """What is wrong with the schedules of a task is said where they are written."""
    if task.offered.get("schedules"):
        from regiment_schedules.spec import refuse

        refuse(task)


@hookimpl
def regiment_notes(app: Application) -> Any:
    """The schedules in code, for the steward; where the queue names the extension, that does it."""
    if extended(app) or not any(task.offered.get("schedules") for task in getattr(app, "tasks", {}).values()):
        return None  # and nothing more is loaded for a queue that has none
    from regiment_schedules.declared import notes

    return notes(app)


@hookimpl
def regiment_services(spec: Mapping[str, Any], notes: Any) -> Mapping[str, Service]:
    """The duty, where a queue has something to fire."""
    return {} if notes is None else {"schedules": service()}


@hookimpl(optionalhook=True)
def regiment_panels() -> Iterable[Panel]:
    """The page of the dashboard with what is next, what was last, and what is late."""
    from regiment_cli.panels import Panel

    return [Panel("Schedules", "schedules", "regiment_schedules.panel:page", needs=frozenset({EFFECTS}), order=20)]
