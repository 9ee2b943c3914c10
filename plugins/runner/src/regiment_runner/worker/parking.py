"""A brake for what is parked: however many messages nobody knows, they take a small part of a worker and of its store."""

from __future__ import annotations

import heapq
import threading
import time

from regiment import log

RATE = 100
"""Returns of parked deliveries a second that one worker asks for."""


class Brake:
    """Spreads the returns of what one worker parks. One after another they would all come back at the same moment, each time
    again, and stand in front of every task that is known here. Safe in any thread.
    """

    def __init__(self) -> None:
        self._due: list[float] = []
        self._lock = threading.Lock()
        self._throttle = log.Throttle()

    def __call__(self, delay: float) -> float:
        """The delay of one more: `delay`, or longer where so many are parked that more than `RATE` a second would come back."""
        now = time.monotonic()
        with self._lock:
            while self._due and self._due[0] <= now:
                heapq.heappop(self._due)
            longer = max(delay, len(self._due) / RATE)
            heapq.heappush(self._due, now + longer)
        return longer

    def told(self) -> int | None:
        """How many were parked without a word since the last one of which is told; None where this one is not told of."""
        with self._lock:
            return 0 if len(self._due) <= RATE else self._throttle()
