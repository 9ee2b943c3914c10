"""What goes wrong between regiment and a Dask cluster."""

from __future__ import annotations

from regiment.errors import RegimentError


class DaskError(RegimentError):
    """Dask could not run the task: the message says where and why."""


class WorkerLost(DaskError):
    """The Dask worker was lost while it ran the task: it died, or the scheduler lost sight of it. A failed run, like any."""


class SchedulerAway(DaskError):
    """No scheduler answers, or the connection to it was lost: nobody's fault, and no run of a task."""
