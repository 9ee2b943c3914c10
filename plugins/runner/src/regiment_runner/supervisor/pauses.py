"""How long a supervisor waits before it tries again what the system has refused: no descriptor, no process, no memory left."""

from __future__ import annotations

import random
import time

FIRST, LONGEST = 0.5, 10.0
"""Seconds after the first refusal, and at most: what is used up may be there again at any moment."""


class Pauses:
    """Growing pauses between tries."""

    def __init__(self) -> None:
        self.until = 0.0
        """Monotonic time before which nothing is tried."""
        self._refusals = 0

    def refused(self) -> float:
        """Refused once more; seconds until the next try."""
        pause: float = min(LONGEST, FIRST * 2.0 ** min(self._refusals, 10)) * random.uniform(0.8, 1.2)
        self._refusals += 1
        self.until = time.monotonic() + pause
        return pause

    def over(self) -> None:
        """It went well."""
        self._refusals, self.until = 0, 0.0
