"""Runs regiment's tasks: a supervisor starts workers and replaces them, a keeper speaks to the stores for them."""

from __future__ import annotations

from regiment import lazily

__all__ = [*lazily(globals(), {"supervisor.supervisor": "Supervisor", "worker.once": "Unknown"})]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from regiment_runner.supervisor.supervisor import Supervisor as Supervisor
    from regiment_runner.worker.once import Unknown as Unknown
