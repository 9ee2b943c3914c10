"""What an operator's hand changes in a queue of one Redis: the verb `steer` of the extra of this name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from regiment.contracts.steer import LOOKED_AT, STEP, Glance
from regiment_redis.asking import PRIORITIES, ms
from regiment_redis.looking import Look, State
from regiment_redis.scripts import Script
from regiment_redis.wire import Part

_STEER, _ASIDE, _BACK = (Script(n) for n in ("steer", "aside", "back"))

AT_ONCE = 100
"""Places that one step changes at most."""
NEAR = 2000
"""Tasks that may lie between a place and the nearer end of its list when it is taken out of there. The server compares them
one by one in its own code, which takes it less than going through `STEP` of them in a script."""


class Change(NamedTuple):
    """What is to be done with tasks that wait."""

    drop: bool
    priority: int | None
    delay: float | None

    def checked(self) -> Change:
        """This one; `ValueError` if it is none."""
        if self.drop == (self.priority is not None or self.delay is not None):
            raise ValueError(
                "steer was told to delete and to change tasks; expected one of both"
                if self.drop
                else "steer was not told what to do; expected drop=True, or a priority, or a delay"
            )
        if self.priority is not None and self.priority not in PRIORITIES:
            raise ValueError(f"priority is {self.priority!r}; the redis connector has 0 to 9")
        return self

    def args(self) -> tuple[Part, ...]:
        """As the script takes it."""
        priority = "" if self.priority is None else self.priority
        return "drop" if self.drop else "change", priority, "" if self.delay is None else max(ms(self.delay), 0)


class Hand:
    """The verbs that look through a queue and change what waits. `run` calls a script, `stem` begins a queue's keys."""

    def __init__(self, run: Callable[..., Any], stem: Callable[[str], str]) -> None:
        self._run, self._stem = run, stem

    def look(self, queue: str, state: State, limit: int, after: str | None, holding: bytes) -> Glance:
        return self.looking(queue, limit, holding).through(state, after)

    def looking(self, queue: str, limit: int, holding: bytes, most: int = LOOKED_AT) -> Look:
        """A look through at most `most` tasks."""
        return Look(self._run, self._stem(queue), limit, holding, most)

    def steer(self, queue: str, places: Sequence[str], change: Change) -> list[str]:
        stem = self._stem(queue)
        known = {place: packed for place in places if (packed := _packed(place)) is not None}
        done: set[str] = set()
        far: list[str] = []
        aside = False
        order = sorted(known, key=lambda place: known[place])
        for start in range(0, len(order), AT_ONCE):
            some = order[start : start + AT_ONCE]
            told, left = self._step(stem, change, [known[place] for place in some], NEAR)
            aside = aside or left
            done.update(place for place, one in zip(some, told, strict=True) if one == "y")
            far += [place for place, one in zip(some, told, strict=True) if one == "f"]
        try:
            for place, before in zip(far, ["", *far], strict=False):
                if before[:2] not in ("", place[:2]):
                    self._back(stem)
                aside = True
                if self._far(stem, change, known[place]):
                    done.add(place)
        finally:
            if aside:
                self._back(stem)
        return [place for place in dict.fromkeys(places) if place in done]

    def _step(self, stem: str, change: Change, packed: Sequence[bytes], near: int) -> tuple[str, bool]:
        told, aside = self._run(_STEER, stem, *change.args(), near, *packed)
        return told.decode(), bool(aside)

    def _far(self, stem: str, change: Change, packed: bytes) -> bool:
        """Change a task deep inside its list, once the way to it is clear; True if it was there."""
        told, tries = "f", 0
        while told == "f":
            # Whoever else clears and brings back at the same time may undo this: then the long walk, which always ends.
            tries += 1
            near = NEAR if tries <= 3 and self._clear(stem, packed) else -1
            told, _ = self._step(stem, change, [packed], near)
        return told == "y"

    def _clear(self, stem: str, packed: bytes) -> bool:
        while (more := self._run(_ASIDE, stem, packed[:1], packed[1:], STEP, STEP)) == 1:
            pass
        return bool(more == 0)

    def _back(self, stem: str) -> None:
        while self._run(_BACK, stem, STEP):
            pass


def _packed(place: str) -> bytes | None:
    """A place as the script takes it; None if no waiting task can have it."""
    try:
        rest = bytes.fromhex(place[2:] if place[:1] == "r" else place[1:])
    except ValueError:
        return None
    if place[:1] == "r" and place[1:2].isdecimal() and place[1:2].isascii() and len(rest) == 9:
        return place[1:2].encode() + rest
    return b"d" + rest if place[:1] == "d" and len(rest) == 6 else None
