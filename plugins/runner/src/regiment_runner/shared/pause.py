"""How long to wait before something that failed is tried again."""

from __future__ import annotations

import random


class Pause:
    """Growing pauses: `first` seconds, then twice as many each time, up to `last`. Chance takes up to half of each, so that
    those who failed together do not try again together.
    """

    def __init__(self, first: float, last: float) -> None:
        self._first, self._last = first, last
        self._next = first

    def __call__(self) -> float:
        """Seconds of the next pause."""
        seconds, self._next = self._next, min(self._last, self._next * 2)
        return seconds * random.uniform(0.5, 1.0)

    def over(self) -> None:
        """It went well: the next pause is a first one."""
        self._next = self._first
