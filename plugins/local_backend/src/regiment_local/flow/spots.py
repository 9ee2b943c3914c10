"""What has a budget: its rule, how many may be leased of it now, and when that changes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from math import inf
from typing import Any

from regiment.contracts.flow import Rule, as_rule

COLUMNS = "no, pool, lane, waiting, running, gate, tat, closed, opens, code, operator"
COLUMNS_OF_P = ", ".join(f"p.{name}" for name in COLUMNS.split(", "))
WIDTH = len(COLUMNS.split(", "))
BY_NUMBER = f"SELECT {COLUMNS} FROM spots WHERE no = ?"
BY_NUMBERS = f"SELECT {COLUMNS} FROM spots WHERE no IN (SELECT value FROM json_each(?))"
BY_NAME = f"SELECT {COLUMNS} FROM spots WHERE queue = ? AND pool = ? AND lane = ?"
WRITE = "UPDATE spots SET waiting = ?, running = ?, gate = ?, tat = ?, closed = ?, opens = ? WHERE no = ?"

TICK = 1e-6
"""Seconds by which a rate may be early: a time of the wall clock is not exacter."""
LATE = 1.0
"""Seconds of lateness that a rate makes up for at most, and never more than three quarters of a step (L6)."""


class Spot:
    """One row of `spots` while a step is under way."""

    __slots__ = (
        "closed",
        "code",
        "dirty",
        "gate",
        "lane",
        "no",
        "opens",
        "operator",
        "pool",
        "running",
        "tat",
        "waiting",
    )

    def __init__(self, row: Sequence[Any]) -> None:
        self.no, self.pool, self.lane, self.waiting, self.running, self.gate, self.tat = row[:7]
        self.closed, self.opens, self.code, self.operator = row[7:]
        self.dirty = False
        """True if it is to be written."""

    @property
    def own(self) -> Rule | None:
        """The rule that it has itself."""
        text = self.operator or self.code
        return None if text is None else read(text)

    @property
    def idle(self) -> bool:
        """True if nothing waits or runs, and it has no rule."""
        return not (self.waiting or self.running or self.code or self.operator)

    def free(self, rule: Rule | None, wall: float) -> float:
        """How many may be leased of it now; `inf`: no limit."""
        if self.gate > wall:
            return 0
        if rule is None:
            return inf
        free = float(rule.at_once - self.running) if rule.at_once else inf
        return min(free, self.tokens(rule, wall)) if rule.rate else free

    def tokens(self, rule: Rule, wall: float) -> int:
        """Leases that its rate lets go now (GCRA)."""
        step, span = pace(rule)
        return int((wall + span - self._tat(wall, step, span) + TICK) / step)

    def spend(self, rule: Rule, count: int, wall: float) -> None:
        """Note so many leases; a number below 0 gives them back."""
        step, span = pace(rule)
        self.tat = self._tat(wall, step, span) + count * step

    def until_rate(self, rule: Rule | None, wall: float) -> float:
        """Seconds until its rate lets the next one go."""
        if rule is None or not rule.rate or self.tokens(rule, wall) > 0:
            return 0.0
        step, span = pace(rule)
        return max(0.0, self._tat(wall, step, span) + step - span - wall)

    def opening(self, rule: Rule | None, wall: float) -> float | None:
        """When to look at it again, if it is closed now; None: at an event."""
        if self.gate > wall:
            return None if self.gate == inf else self.gate
        if rule is None or not rule.rate or (rule.at_once and self.running >= rule.at_once):
            return None
        return wall + self.until_rate(rule, wall)

    def _tat(self, wall: float, step: float, span: float) -> float:
        # never further ahead than a burst: a clock that was set back closes nothing for long
        tat: float = min(max(self.tat, since(self.tat, step, wall)), wall + span)
        return tat


def since(tat: float, step: float, now: float) -> float:
    """From when on a rate counts at the earliest: what came late is made up for; of one that has leased nothing there is nothing late."""
    return now - min(step * 0.75, LATE) if tat else now


def pace(rule: Rule) -> tuple[float, float]:
    """Seconds from one lease to the next, and of a burst."""
    assert rule.rate is not None
    step = rule.rate[1] / rule.rate[0]
    return step, step * rule.burst


def write(rule: Rule | None) -> str | None:
    """A rule as text."""
    return None if rule is None else json.dumps(rule, separators=(",", ":"))


@lru_cache(maxsize=4096)
def read(text: str) -> Rule:
    """The rule that `write` was given."""
    return as_rule(json.loads(text))
