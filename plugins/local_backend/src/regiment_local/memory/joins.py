"""The joins of one queue: sets of members, complete once (E7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from regiment.contracts import Arrive, Join, Keep, Seal, Send, Shut, Tally
from regiment_local.memory.fleeting import Fleeting

SHELL = 604_800.0
"""Seconds for which those are remembered who arrive before their join is opened."""
NAMED = 100
"""Most missing members that a tally names."""

Then = Sequence[Keep | Send | Arrive]


@dataclass(eq=False)
class Standing:
    """What is known of a join. Until it is opened it is a shell, which finds who has arrived, its seal and whether it is shut."""

    ttl: float = SHELL
    opened: bool = False
    members: int | None = None
    then: Then = ()
    arrived: set[int] = field(default_factory=set)
    complete: bool = False
    shut: bool = False

    def missing(self) -> list[int]:
        """The members that have not arrived."""
        return [member for member in range(self.members or 0) if member not in self.arrived]

    def completed(self) -> Then:
        """What is to be applied now: `then`, if this step has made the join complete."""
        if not self.opened or self.complete or self.shut or self.members is None:
            return ()
        if len(self.arrived) < self.members or self.missing():
            return ()
        self.complete = True
        return self.then


class Joins:
    """Those of one queue. Each change returns what is to be applied because of it."""

    def __init__(self) -> None:
        self._standing: Fleeting[Standing] = Fleeting()

    def _of(self, name: str) -> Standing:
        return self._standing.get(name) or Standing()

    def open(self, join: Join) -> Then:
        standing = self._of(join.name)
        if standing.opened or standing.shut:
            return ()
        standing.opened, standing.ttl, standing.then = True, join.ttl, tuple(join.then)
        if join.members is not None:
            standing.members = join.members
        self._standing.put(join.name, standing, standing.ttl)
        return standing.completed()

    def arrive(self, arrive: Arrive) -> Then:
        standing = self._of(arrive.join)
        if arrive.member in standing.arrived:
            return ()
        standing.arrived.add(arrive.member)
        self._standing.put(arrive.join, standing, standing.ttl)
        return standing.completed()

    def seal(self, seal: Seal) -> Then:
        standing = self._of(seal.join)
        if standing.members is None:
            standing.members = seal.members
            if not standing.opened:
                self._standing.put(seal.join, standing, standing.ttl)
        return standing.completed()

    def shut(self, shut: Shut) -> Then:
        standing = self._of(shut.join)
        if not standing.complete:
            standing.shut = True
            if not standing.opened:
                standing.ttl = shut.ttl
                self._standing.put(shut.join, standing, standing.ttl)
        return ()

    def tally(self, name: str) -> Tally | None:
        standing = self._standing.get(name)
        if standing is None:
            return None
        members = standing.members if standing.opened else None
        if members is None:
            return Tally(None, len(standing.arrived), False, standing.shut)
        missing = standing.missing()
        return Tally(members, members - len(missing), standing.complete, standing.shut, missing[:NAMED])
