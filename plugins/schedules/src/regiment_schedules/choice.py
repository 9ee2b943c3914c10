"""The extension that a queue names: as data in its settings, and what it is in each process."""

from __future__ import annotations

from regiment.config import Use


class Schedules(Use):
    """`plugins=[Schedules()]`: this queue fires schedules that are added at run time, also if it has none in code."""

    def __init__(self) -> None:
        super().__init__("schedules")


class Firing:
    """What the name stands for. It has no hooks of its own: those of the distribution see that it was named."""
