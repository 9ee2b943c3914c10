"""One file for each system: what is installed, how its workers are started, what it promises."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.peers.system import System
from benchmark.peers.systems import (
    arq,
    celery,
    dramatiq,
    flexiq,
    huey,
    limits,
    procrastinate,
    regiment,
    rq,
    saq,
    sergeant,
    streaq,
    taskiq,
    tasktiger,
)

ALL: tuple[System, ...] = (
    regiment.SYSTEM,
    limits.SYSTEM,
    dramatiq.SYSTEM,
    celery.SYSTEM,
    rq.SYSTEM,
    huey.SYSTEM,
    sergeant.SYSTEM,
    taskiq.SYSTEM,
    saq.SYSTEM,
    streaq.SYSTEM,
    flexiq.SYSTEM,
    procrastinate.SYSTEM,
    arq.SYSTEM,
    tasktiger.SYSTEM,
)


def chosen(names: Sequence[str]) -> list[System]:
    """The systems with these names; LookupError, in words, for one that there is not."""
    known = {system.name: system for system in ALL}
    for name in names:
        if name not in known:
            raise LookupError(f"no system {name!r}; there are {', '.join(known)}")
    return [known[name] for name in names] if names else list(ALL)
