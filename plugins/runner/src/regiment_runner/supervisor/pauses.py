"""How long a supervisor waits before it tries again what has failed, or what the system has refused: no descriptor, no
process, no memory left.
"""

from __future__ import annotations

import random
import time

FIRST, LONGEST = 0.5, 10.0
"""Seconds after the first refusal, and at most: what is used up may be there again at any moment."""


def grown(first: float, last: float, before: int) -> float:
    """Seconds to wait after a failure with so many before it in a row: `first`, twice as long each time, `last` at most."""
    return min(last, first * 2.0 ** min(before, 100)) * random.uniform(0.8, 1.2)


class Pauses:
    """Growing pauses between tries."""

    def __init__(self) -> None:
        self.until = 0.0
        """Monotonic time before which nothing is tried."""
        self.refusals = 0
        """How many in a row."""

    def refused(self) -> float:
        """Refused once more; seconds until the next try."""
        pause = grown(FIRST, LONGEST, self.refusals)
        self.refusals += 1
        self.until = time.monotonic() + pause
        return pause

    def over(self) -> None:
        """It went well."""
        self.refusals, self.until = 0, 0.0
