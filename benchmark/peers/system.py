"""What a system is to the harness: data, and one function that says how its workers are started."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Store = Literal["redis", "sqlite", "mongo", "postgres"]
ON = ", Redis "
FLOWS = frozenset({"chain", "chord"})
RESULTS = frozenset({"wait"}) | FLOWS
"""What is measured with a variant that keeps results, and only with such a one."""


@dataclass(frozen=True)
class Job:
    """One start of workers: from which environment, on which store, in which variant, how many processes."""

    bin: Path
    """Folder of the programs of the system's own environment."""
    url: str
    variant: str
    workers: int

    @property
    def python(self) -> str:
        return str(self.bin / "python")


@dataclass(frozen=True)
class Variant:
    """One way to use a system: settings that its application reads from `env`."""

    name: str
    pace: int
    """Tasks per second that one worker does, roughly: it only decides how many are pushed."""
    promise: str
    """What its documentation promises for a task whose worker dies."""
    store: Store = "redis"
    env: Mapping[str, str] = field(default_factory=dict)
    bulk: bool = True
    """Whether it has a documented way to push many at once."""
    faults: bool = False
    """Whether the fault phases are run with it."""
    speed: bool = True
    """Whether the speed phases are run with it."""
    waits: bool = True
    """Whether its worker waits for tasks as in earnest: what an idle one costs is measured."""
    crowd: bool = False
    """Whether it is measured beside a million waiting tasks."""
    only: frozenset[str] = frozenset()
    """Phases that are measured with it; empty: all."""
    quick: bool = False
    """Whether it belongs to the quick run."""
    release: str = ""
    """Of redis-server ("6.2"), where a run measures a further one; empty: the first one found, or asked for."""

    @property
    def title(self) -> str:
        """What it is called in the tables."""
        return self.name + self.behind

    @property
    def behind(self) -> str:
        """What stands behind the name of each variant on this release."""
        return f"{ON}{self.release}" if self.release else ""

    @property
    def batch(self) -> str:
        """How many tasks its worker takes at a time."""
        return self.env.get("BENCH_BATCH", "1")


@dataclass(frozen=True)
class System:
    """One system. Its application is `benchmark/peers/apps/<app>.py`, run in an environment with `packages`; "{store}" in its name
    stands for the store.
    """

    name: str
    app: str
    packages: tuple[str, ...]
    """What pip installs; nothing: it runs in the harness's own environment."""
    variants: tuple[Variant, ...]
    commands: Callable[[Job], list[list[str]]]
    """The command lines that start so many worker processes."""
    limit: str = ""
    """What it has against a task that does not end; empty: nothing."""
