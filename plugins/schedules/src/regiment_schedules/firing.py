"""Which ticks of a row are to be fired now, and when it is to be looked at next. Nothing here speaks to a store."""

from __future__ import annotations

from typing import NamedTuple

from regiment_schedules.records import Row
from regiment_schedules.ticks import Ticks, fraction

LEAD = 2.0
"""Seconds before its time at which a tick is armed: its task is delayed until then, so the store's clock starts it (T2)."""
STAGGER, SHORT_STAGGER = 1.5, 0.05
"""Seconds over which stewards are spread, each by a hash: usually one fires, and the others see that it did (T3)."""
LATE = 5.0
"""A tick that is at most so many seconds late counts as on time, whatever the catch-up."""
MOST = 1000
"""Ticks of one schedule in one step."""
COUNTED = 100
"""Skipped ticks are counted up to so many."""
AHEAD = 3600.0
"""A row that is so many seconds, and a period, ahead of the store's clock stands there because that was set back (T10)."""


class Due(NamedTuple):
    """What to do: fire these ticks, and let the row stand at `last`."""

    ticks: list[float]
    last: float
    skipped: int


def lead(row: Row) -> float:
    """Seconds before the tick at which it is fired: none where it has to be known whether the last run has ended."""
    return 0.0 if row.spec["overlap"] == "skip" else LEAD


def due(row: Row, ticks: Ticks, now: float) -> Due | None:
    """What is due at `now` (the store's clock); None if nothing is."""
    spec, last = row.spec, row.last
    first = ticks.after(last)
    horizon = now + lead(row)
    if first is None or first > horizon:
        return None
    following = ticks.after(first)
    late = LATE if following is None else min(LATE, (following - first) / 2)
    cut = max(last, now - late)
    missed: list[float] = []
    skipped = 0
    if first <= cut:
        oldest = max(last, now - spec["within"] - 0.001)
        if spec["catch_up"] == "all":
            missed = ticks.between(oldest, cut, MOST)
        elif spec["catch_up"] == "last":
            missed = ticks.newest(oldest, cut, 1)
        if len(missed) == MOST:
            return Due(missed, missed[-1], 0)
        skipped = max(0, len(ticks.between(last, cut, COUNTED)) - len(missed))
    coming = ticks.between(cut, horizon, MOST - len(missed))
    fired = [*missed, *coming]
    if coming:
        return Due(fired, coming[-1], skipped)
    newest = ticks.last(cut)
    return Due(fired, last if newest is None else max(last, newest), skipped)


def next_look(row: Row, ticks: Ticks, now: float, who: str) -> float | None:
    """When this row is to be looked at by `who`, on the store's clock; None: never, as it is."""
    tick = ticks.after(row.last)
    if tick is None:
        return None
    stagger = STAGGER if lead(row) else SHORT_STAGGER
    at = tick - lead(row)
    if at < now - 1.0:  # missed: there is nothing to be early for, and many may come at once
        at, stagger = now, SHORT_STAGGER
    return at + stagger * fraction(f"{who} {row.name} {tick:.3f}")


def ahead(row: Row, ticks: Ticks, now: float) -> bool:
    """True if the row stands further ahead than a clock can be that was never set back."""
    if row.last <= now + AHEAD:
        return False
    following = ticks.after(now)
    after = None if following is None else ticks.after(following)
    return after is None or following is None or row.last > after + AHEAD
