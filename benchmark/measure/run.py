"""One run: which steps, in which order, and what becomes of their figures.

A step is one group of phases of one variant. Rounds are the outer loop, so that a slow quarter of an hour of the machine meets
all systems; the table is whole after the first one. Fault phases of peers mostly wait, so they run side by side. A quick run
measures CPU in turns, behind everything else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path
from typing import Any

from benchmark.measure import flows, growth, machine, results, turns, venvs
from benchmark.measure.faults import FAULTS
from benchmark.measure.places import place
from benchmark.measure.processes import Failed
from benchmark.measure.session import Session
from benchmark.measure.speed import GROUPS as SPEED
from benchmark.measure.speed import Found, Scale, Wanted
from benchmark.peers.system import System, Variant
from benchmark.report.journal import Journal
from harness import servers

GROUPS: dict[str, tuple[tuple[str, ...], Callable[[Session, Scale, Wanted], Found]]] = {
    **SPEED,
    "results": (("wait", "waiters"), results.results),
    "flows": (("chain", "chord"), flows.flows),
    "kept": (("kept",), results.kept),
    "beside": (("beside",), results.beside),
    "growth": (("growth",), growth.growth),
}
"""What is measured in one session each, with the names of its phases."""
CHOSEN = frozenset({"wait", "waiters", "kept", "beside", "chain", "chord", "growth"})
"""Phases of those variants only that name them."""
ONCE = frozenset({"two", "sizes", "million", "waiters", "kept", "beside", "chain", "chord", "growth"})
"""Phases of the first round only, and not of a quick run, unless they are asked for by name."""
LATE = frozenset({"million", "growth"})
"""Groups that come behind the faults: they take long and fill the stores."""


FAILURES = (Failed, OSError, RuntimeError, AssertionError)
"""What ends one step and not the run."""


@dataclass(frozen=True)
class Plan:
    """What a run is to do."""

    systems: Sequence[System]
    phases: frozenset[str]
    """Names of phases; empty: all."""
    rounds: int
    scale: Scale
    quick: bool
    variants: frozenset[str]
    """Names of variants; empty: all."""
    minutes: float
    """After so long, the environments of the peers not counted, no step is begun."""
    anyhow: bool
    """Whether to go on though the machine is busy."""
    patience: float
    """Seconds that the fault phases wait."""
    wait: float
    """Seconds to wait for a quiet machine, at each step."""
    releases: Sequence[str] = ()
    """Further releases of redis-server: what is on Redis is measured on each of them as well."""


@dataclass(frozen=True)
class Step:
    """One group of phases of one variant, in one round."""

    system: System
    variant: Variant
    group: str
    round: int


Measure = Callable[[Session], Iterable[tuple[str, dict[str, Any]]]]
"""What is done in a session: phases with their figures, as they are known."""


class Busy(Exception):
    """The machine is in use by others."""


class Run:
    """Works through a plan."""

    def __init__(self, plan: Plan, journal: Journal) -> None:
        self.plan, self.journal = plan, journal
        self._bins: dict[str, Path] = {}
        self._began = time.monotonic()

    def run(self) -> bool:
        """Whether all steps were begun before the time was up."""
        self._prepare()
        self._until = time.monotonic() + 60 * self.plan.minutes
        for round in range(self.plan.rounds):
            for late in (False, True):
                for step in self._speed_steps(round, late):
                    if not self._begin(step):
                        return False
                    self._speed(step)
                if not late and not self._faults(round):
                    return False
        return self._turns() if self.plan.quick else True

    def _prepare(self) -> None:
        redis = [servers.version(), *self.plan.releases]
        self.journal.write(phase="machine", figures={**machine.description(), "redis-server": " and ".join(redis)})
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(self._install, self.plan.systems))

    def _install(self, system: System) -> None:
        try:
            bin = venvs.programs(system)
        except RuntimeError as error:
            self._say(f"left out: {error}")
            self.journal.write(phase="versions", system=system.name, error=str(error))
            return
        self._bins[system.name], found = bin, venvs.versions(system, bin)
        self._say(f"{system.name}: {', '.join(f'{k} {v}' for k, v in found.items())}")
        self.journal.write(phase="versions", system=system.name, figures=found)

    def _wanted(self, phase: str, round: int, variant: Variant | None = None) -> bool:
        if variant and (variant.only or phase in CHOSEN) and phase not in variant.only:
            return False
        if phase == "beside" and self.plan.scale.beside is None:
            return False
        if self.plan.quick and (phase in turns.PHASES or (variant and variant.batch != "1")):
            return False
        if self.plan.phases:
            return phase in self.plan.phases
        return phase not in ONCE or not (round or self.plan.quick)

    def _variants(self) -> Iterator[tuple[System, Variant]]:
        for system in self.plan.systems:
            for variant in system.variants if system.name in self._bins else ():
                name = variant.name
                if self.plan.variants and name not in self.plan.variants:
                    continue
                if self.plan.quick and not (variant.quick or name in self.plan.variants):
                    continue
                yield system, variant
                if variant.store == "redis":
                    yield from ((system, replace(variant, release=release)) for release in self.plan.releases)

    def _speed_steps(self, round: int, late: bool) -> Iterator[Step]:
        """The steps of a round; the million and growth come `late`, behind the faults."""
        for group, (phases, _) in GROUPS.items():
            if (group in LATE) is not late or not any(self._wanted(p, round) for p in phases):
                continue
            for system, variant in self._variants():
                wanted = any(self._wanted(phase, round, variant) for phase in phases)
                if variant.speed and wanted and (variant.crowd or group != "million"):
                    yield Step(system, variant, group, round)

    def _begin(self, step: Step) -> bool:
        if time.monotonic() > self._until:
            return False
        if not self._finished(step):
            busy = machine.wait_for_quiet(self.plan.wait)
            if busy > machine.BUSY and not self.plan.anyhow:
                raise Busy(
                    f"{busy:.0%} of the processors are in use by others (at most {machine.BUSY:.0%} may be); wait, or measure "
                    "anyhow with --anyhow"
                )
            self._say(
                f"round {step.round + 1}, {step.group}: {step.system.name}, {step.variant.title}"
                + (f" (others use {busy:.0%})" if busy > machine.BUSY else "")
            )
        return True

    def _finished(self, step: Step) -> bool:
        return self.journal.finished(step.system.name, step.variant.title, step.group, step.round)

    def _speed(self, step: Step) -> None:
        def wanted(phase: str) -> bool:
            return self._wanted(phase, step.round, step.variant)

        if not self._finished(step):
            measure = GROUPS[step.group][1]
            self._measure(step, lambda session: measure(session, self.plan.scale, wanted))

    def _measure(self, step: Step, measure: Measure) -> None:
        """All of a step, on a store of its own."""
        began = time.monotonic()
        try:
            with self._session(step) as session:
                for phase, figures in measure(session):
                    self._write(step, phase, figures)
        except FAILURES as error:
            self._failed(step, error)
        self._write(step, "end", {"seconds": time.monotonic() - began})

    def _turns(self) -> bool:
        """What a quick run measures in turns; who has had the least time is next."""
        wanted = (self.plan.phases or turns.PHASES) & turns.PHASES
        steps = [Step(s, v, "turns", 0) for s, v in self._variants() if wanted and v.speed and not v.only]
        steps = [step for step in steps if not self._finished(step)]
        seats = list[tuple[turns.Seat, Step]]()
        with ExitStack() as stack:
            for step in steps:
                if not self._begin(step):
                    return False
                try:
                    pushing, working = (stack.enter_context(self._session(step)) for _ in "ab")
                    seats.append((turns.Seat(stack, pushing, working), step))
                except FAILURES as error:
                    self._failed(step, error)
            while seats:
                seat, step = min(seats, key=lambda one: (one[0].done(self.plan.scale.turns), one[0].used))
                if time.monotonic() > self._until:
                    return False
                if seat.done(self.plan.scale.turns):
                    break
                try:
                    for phase, figures in seat.turn():
                        if phase in wanted:
                            self._write(replace(step, round=seat.turns), phase, figures)
                except FAILURES as error:
                    self._failed(step, error)
                    seats.remove((seat, step))
        for step in steps:
            self._write(step, "end", {})
        return True

    def _faults(self, round: int) -> bool:
        for group in FAULTS:
            if not self._wanted(group, round):
                continue
            fault = self._fault(group)
            steps = [
                Step(s, v, group, round) for s, v in self._variants() if v.faults and self._wanted(group, round, v)
            ]
            steps = [step for step in steps if not self._finished(step)]
            alone = [step for step in steps if not step.system.packages]
            for step in alone:
                if not self._begin(step):
                    return False
                self._measure(step, fault)
            together = [step for step in steps if step.system.packages]
            if together and not self._begin(together[0]):
                return False
            with ThreadPoolExecutor(max(1, len(together))) as pool:
                list(pool.map(self._measure, together, repeat(fault)))
        return True

    def _fault(self, group: str) -> Measure:
        def measure(session: Session) -> Iterator[tuple[str, dict[str, Any]]]:
            yield group, FAULTS[group](session, self.plan.patience)

        return measure

    @contextmanager
    def _session(self, step: Step) -> Iterator[Session]:
        with (
            place(step.variant.store, step.variant.release) as where,
            Session(step.system, step.variant, self._bins[step.system.name], where) as session,
        ):
            yield session

    def _failed(self, step: Step, error: Exception) -> None:
        self._say(f"failed: {step.system.name}, {step.variant.title}: {error}")
        self._write(step, "failed", error=str(error))

    def _write(self, step: Step, phase: str, figures: dict[str, Any] | None = None, **more: str) -> None:
        self.journal.write(
            system=step.system.name,
            variant=step.variant.title,
            store=step.variant.store,
            group=step.group,
            round=step.round,
            phase=phase,
            **({} if figures is None else {"figures": figures}),
            **more,
        )

    def _say(self, text: str) -> None:
        print(f"{time.monotonic() - self._began:6.0f} s  {text}", flush=True)
