"""How many workers a queue needs, and how fast that number may fall."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from regiment_metrics.sampling import Standing

STEP = 60.0
"""Seconds in which the number falls by one at most; it rises at once."""


def wanted(standing: Standing, load: int, target: float) -> int:
    """Workers that end `load` tasks within `target` seconds, at the rate at which those that are there end theirs.

    As long as nobody has ended anything, each task is taken to need a worker of its own. Workers that run something are never too
    many: scaling in would cut off what runs.
    """
    if not load:
        return 0
    each = standing.rate / standing.workers if standing.workers else 0.0
    ended = each * target  # by one worker, within the target; 0 if that is too little for a float
    needed = math.ceil(min(load / ended, load)) if ended > 0 else load
    return max(1, min(needed, load), min(standing.workers, standing.counts.leased))


class Damped:
    """A number for each queue that rises at once and falls by one each `STEP` seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said: dict[str, tuple[int, float]] = {}

    def of(self, queue: str, number: int) -> int:
        """The number to say now, where `number` is what is needed."""
        now = self._clock()
        said, since = self._said.get(queue, (0, now))
        fallen = int((now - since) / STEP)
        if number >= said:
            self._said[queue] = number, now
        elif fallen:
            self._said[queue] = max(number, said - fallen), since + fallen * STEP
        return self._said.get(queue, (number, now))[0]


def record(queue: str, standing: Standing, load: int, number: int) -> dict[str, Any]:
    """What an autoscaler is told."""
    return {
        "queue": queue,
        "load": load,
        "oldest": standing.counts.oldest or 0.0,
        "running": standing.counts.leased,
        "workers": standing.workers,
        "wanted": number,
    }
