"""The extension that a queue names: as data in its settings, and what it is in each process."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from regiment.config import Use
from regiment.contracts import Application, Service
from regiment.hooks import hookimpl

STARTED = time.time()
"""When this process began, as far as releases are compared: asked in a supervisor, which loads plugins as it starts."""


class Schedules(Use):
    """`plugins=[Schedules()]`: this queue fires schedules that are added at run time, also if it has none in code."""

    def __init__(self) -> None:
        super().__init__("schedules")


class Firing:
    """What the name stands for: the hooks of the distribution leave a queue that names it to this."""

    needs = frozenset({"effects"})

    @hookimpl
    def regiment_notes(self, app: Application) -> Any:
        """The schedules in code, for the steward; also where there are none."""
        from regiment_schedules.declared import notes

        return notes(app)

    @hookimpl
    def regiment_services(self, spec: Mapping[str, Any], notes: Any) -> Mapping[str, Service]:
        """The duty."""
        return {"schedules": service()}


def service() -> Service:
    """The duty, as data: which tree this is, and of which release."""
    tree = {"release": os.environ.get("REGIMENT_RELEASE", ""), "started": STARTED}
    return Service("regiment_schedules.duty:Firing", {**tree, "by": f"{os.uname().nodename}:{os.getpid()}"})
