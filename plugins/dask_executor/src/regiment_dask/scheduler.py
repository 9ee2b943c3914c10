"""What regiment asks of a Dask scheduler: that it starts no task of ours a second time when a worker dies with it.

By default Dask starts such a task again on other workers, three times, and says nothing. How often a task runs is regiment's to count.
"""

from __future__ import annotations

from typing import Any

from distributed.diagnostics.plugin import SchedulerPlugin

PREFIX = "regiment:"
"""With which the keys of our tasks begin."""


class OneTry(SchedulerPlugin):
    """On the scheduler: a task of ours whose worker is lost has failed (`KilledWorker`) at the first time; others' are left alone."""

    def __init__(self) -> None:
        self.name, self.idempotent = "regiment", True

    def update_graph(self, scheduler: Any, *, tasks: Any = (), **rest: Any) -> None:
        """Called for each graph that is sent to the scheduler."""
        for key in tasks:
            if isinstance(key, str) and key.startswith(PREFIX) and (found := scheduler.tasks.get(key)) is not None:
                found.suspicious = max(found.suspicious, scheduler.allowed_failures)
