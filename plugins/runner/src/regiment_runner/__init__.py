"""Runs regiment's tasks: a supervisor starts workers and replaces them, a keeper speaks to the stores for them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from regiment_runner.supervisor.supervisor import Supervisor as Supervisor


def __getattr__(name: str) -> object:
    if name != "Supervisor":
        raise AttributeError(f"module 'regiment_runner' has no attribute {name!r}")
    from regiment_runner.supervisor.supervisor import Supervisor

    return Supervisor
