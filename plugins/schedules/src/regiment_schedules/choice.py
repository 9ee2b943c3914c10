"""The extension that a queue names: as data in its settings, and what it is in each process."""

from __future__ import annotations

from typing import Any

from regiment.config import Use

HERE = ("schedules", "regiment_schedules", "regiment_schedules.hooks")


def named(app: Any) -> bool:
    """True if the queue names this plugin: then it fires schedules that are only in the store, too."""
    return any((item.name if isinstance(item, Use) else item) in HERE for item in app.config.plugins)


class Schedules(Use):
    """`plugins=[Schedules()]`: this queue fires schedules that are added at run time, also if it has none in code."""

    def __init__(self) -> None:
        super().__init__("schedules")


class Firing:
    """What the name stands for. It has no hooks of its own: those of the distribution see that it was named."""
