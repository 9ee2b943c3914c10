"""Which tick a task is for."""

from __future__ import annotations

from datetime import datetime

from regiment.context import current
from regiment_schedules.ticks import read


def tick() -> datetime | None:
    """The time of the tick for which the running task was pushed, in UTC; None if a schedule did not push it.

    It is the time that the schedule names, without jitter, however late the task runs.
    """
    task = current().task
    name, at, text = ("", "", "") if task is None else task.id.rpartition("@")
    if not (name and at):
        return None
    try:
        return read(text)
    except ValueError:
        return None
