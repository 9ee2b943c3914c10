"""What an operator's hand changes in a queue of one Redis: the verb `steer` of the extra of this name."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from regiment.contracts.steer import LOOKED_AT, STEP, Glance
from regiment_redis.asking import PRIORITIES, ms
from regiment_redis.looking import Look, State, mark
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
        known = {place: packed for place in places if (packed := _packed(place, mark(stem)))}
        done: set[str] = set()
        far: list[str] = []
        aside = False
        order = sorted(known, key=lambda place: known[place])
        while order:
            some, order = order[:AT_ONCE], order[AT_ONCE:]
            told, left = self._step(stem, change, [known[place] for place in some], NEAR)
            aside = aside or left
            done.update(place for place, one in zip(some, told, strict=True) if one == "y")
            far += [place for place, one in zip(some, told, strict=True) if one == "f"]
            order = [place for place, one in zip(some, told, strict=True) if one == "l"] + order
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
            near = NEAR if tries <= 10 and self._clear(stem, packed) else -1
            told, _ = self._step(stem, change, [packed], near)
        return told == "y"

    def _clear(self, stem: str, packed: bytes) -> bool:
        """Move aside what is in front of a place; False if that did not come to an end."""
        return self._repeat(lambda: self._run(_ASIDE, stem, packed[:1], packed[1:], STEP, STEP)) == 0

    def _back(self, stem: str) -> None:
        self._repeat(lambda: self._run(_BACK, stem, STEP))

    def _repeat(self, step: Callable[[], int]) -> int:
        """Call a step as long as it leaves less to do; what the last one left. More is left where another hand undoes it: one
        of both gives way."""
        before, left = math.inf, step()
        while 0 < left < before:
            before, left = left, step()
        return left


def _packed(place: str, marked: str) -> bytes:
    """A place as the script takes it; empty if no task that waits in this queue can have it."""
    letter, found, rest = place[:1], place[1:9], place[9:]
    priority = rest[:1] if letter == "r" else ""
    try:
        number = bytes.fromhex(rest.removeprefix(priority))
    except ValueError:
        return b""
    if found != marked or (len(number) != {"r": 9, "d": 6}.get(letter) and not (letter == "r" and len(number) > 11)):
        return b""
    return b"d" + number if letter == "d" else priority.encode() + number
