"""What captured tasks leave behind: records and joins by the rules of `regiment.contracts.effects`, on the clock of the capture."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any, NamedTuple

from regiment.contracts import (
    Applied,
    Arrive,
    Drop,
    Effect,
    Followed,
    Join,
    Keep,
    Record,
    Seal,
    Send,
    Shut,
    Tally,
    When,
)

WEEK = 604_800.0


class Kept(NamedTuple):
    """A record, and until when."""

    record: Record
    until: float
    listed: bool


class Joining:
    """What is known of a join; until it is opened it is a shell."""

    def __init__(self) -> None:
        self.members: int | None = None
        self.then: Sequence[Effect] = ()
        self.arrived: set[int] = set()
        self.opened = self.complete = self.shut = False
        self.ttl, self.until = WEEK, 0.0

    def missing(self) -> list[int]:
        return [number for number in range(self.members or 0) if number not in self.arrived]

    def completes(self) -> bool:
        """True the one time that it is complete for the first time."""
        if self.opened and not (self.shut or self.complete) and self.members is not None:
            self.complete = len(self.arrived) >= self.members and not self.missing()
            return self.complete
        return False


class Left:
    """Records and joins of all queues of one capture. `send` pushes, and returns which payloads it has left out."""

    def __init__(self, clock: Callable[[], float], send: Callable[[Send], Sequence[int]]) -> None:
        self._clock, self._send = clock, send
        self._kept: dict[Followed, Kept] = {}
        self._joins: dict[tuple[str, str], Joining] = {}
        self._followed: dict[Followed, dict[object, tuple[int, float]]] = {}
        self._marks: dict[object, dict[Followed, Record | None]] = {}
        self._tokens: dict[tuple[str, str], Applied] = {}
        self._versions = count(1)
        self._versioned: dict[str, int] = {}
        """Queue -> version of the last record that was kept there."""

    def apply(
        self, queue: str, effects: Sequence[Effect], token: str | None = None, when: Sequence[When] = ()
    ) -> Applied:
        """One step at a queue."""
        if token is not None and (queue, token) in self._tokens:
            return self._tokens[queue, token]
        there = {one.key: self.record(queue, one.key) for one in when}
        for key, version in when:
            if version != getattr(there[key], "version", 0):
                return Applied(done=False, found=there)
        version, left_out, sent, then = next(self._versions), list[int](), 0, deque[tuple[str, Effect]]()
        for effect in effects:
            out = self._one(effect, queue, version, then)
            if isinstance(effect, Send) and effect.queue == queue:
                left_out += [sent + index for index in out]
                sent += len(effect.payloads)
        while then:
            home, effect = then.popleft()
            self._one(effect, home, version, then)
        applied = Applied(True, left_out, version if self._versioned.get(queue) == version else 0)
        if token is not None:
            self._tokens[queue, token] = applied
        return applied

    def _one(self, effect: Effect, home: str, version: int, then: deque[tuple[str, Effect]]) -> Sequence[int]:
        """One effect, where `home` is the queue that it means if it names none; the payloads that were left out."""
        match effect:
            case Send():
                return self._send(effect)
            case Keep():
                self._keep(effect, (home if effect.queue is None else effect.queue, effect.key), version)
            case Drop():
                for key in effect.keys:
                    self._kept.pop((home if effect.queue is None else effect.queue, key), None)
            case _:
                if self._joined(effect).completes():
                    then.extend((effect.queue, one) for one in self._joins[_place(effect)].then)
        return ()

    def _keep(self, keep: Keep, where: Followed, version: int) -> None:
        old = self.record(*where)
        if old is not None and old.rank > keep.rank:
            return
        record, now = Record(bytes(keep.value), version, keep.rank), self._clock()
        self._kept.pop(where, None)  # so that it is the last one
        self._kept[where] = Kept(record, float("inf") if keep.ttl is None else now + keep.ttl, keep.listed)
        self._versioned[where[0]] = version
        followed = self._followed.pop(where, {})
        for who, (rank, until) in followed.items():
            if keep.rank < rank:
                self._followed.setdefault(where, {})[who] = (rank, until)
            elif until > now:
                self._marks.setdefault(who, {})[where] = record

    def _joined(self, effect: Join | Arrive | Seal | Shut) -> Joining:
        """The join that an effect is about, changed by it."""
        now, place = self._clock(), _place(effect)
        join = self._standing(*place) or Joining()
        shell = place not in self._joins
        match effect:
            case Join() if not (join.opened or join.shut):
                join.opened, join.ttl, join.then, join.until = True, effect.ttl, effect.then, now + effect.ttl
                join.members = join.members if effect.members is None else effect.members
            case Arrive() if effect.member not in join.arrived:
                join.arrived.add(effect.member)
                join.until = now + join.ttl
            case Seal() if join.members is None:
                join.members = effect.members
            case Shut() if not join.complete:
                join.shut = True
                join.ttl = join.ttl if join.opened else effect.ttl
        if shell or not join.opened:
            join.until = now + join.ttl
        self._joins[place] = join
        return join

    def _standing(self, queue: str, name: str) -> Joining | None:
        join = self._joins.get((queue, name))
        if join is not None and join.until <= self._clock():
            del self._joins[queue, name]
            return None
        return join

    # Reading

    def record(self, queue: str, key: str) -> Record | None:
        """The record, if it is there and its time is not over."""
        found = self._kept.get((queue, key))
        return None if found is None or found.until <= self._clock() else found.record

    def listed(self, queue: str, limit: int, after: str | None) -> Sequence[str]:
        """Keys of listed records, the last one first."""
        keys = [
            key
            for (of, key), one in reversed(self._kept.items())
            if of == queue and one.listed and self.record(of, key)
        ]
        if after is not None:
            keys = keys[keys.index(after) + 1 :] if after in keys else []
        return keys[: max(0, limit)]

    def tally(self, queue: str, name: str) -> Tally | None:
        """The state of a join."""
        join = self._standing(queue, name)
        if join is None:
            return None
        if not join.opened or join.members is None:
            return Tally(None, len(join.arrived), False, join.shut)
        missing = join.missing()
        return Tally(join.members, join.members - len(missing), join.complete, join.shut, missing[:100])

    def follow(self, who: object, keys: Mapping[Followed, int], seconds: float) -> Mapping[Followed, Record]:
        """Those that are there; the others are followed."""
        there: dict[Followed, Record] = {}
        for where, rank in keys.items():
            found = self.record(*where)
            self._marks.get(who, {}).pop(where, None)
            self._followed.get(where, {}).pop(who, None)
            if found is not None and found.rank >= rank:
                there[where] = found
            else:
                self._followed.setdefault(where, {})[who] = (rank, self._clock() + seconds)
        return there

    def heard(self, who: object) -> Mapping[Followed, Record | None]:
        """What was kept of what it follows."""
        return self._marks.pop(who, {})


def _place(effect: Any) -> tuple[str, str]:
    return effect.queue, effect.name if isinstance(effect, Join) else effect.join
