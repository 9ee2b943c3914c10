"""The server's clock as this process may know it: by the requests that told the time, and how long they took."""

from __future__ import annotations

import time


class Clock:
    """Between which bounds the server's milliseconds lie ahead of this process's monotonic clock.

    The server told its time between the sending of a request and its answer. In a crowd, an answer may take a tenth of a
    second; what it says of the clocks is no worse than what a quick one said before.
    """

    def __init__(self) -> None:
        self._low = self._high = 0.0

    def saw(self, now: int, sent: float) -> None:
        """The answer has just come to a request that was sent at `sent` (monotonic) and says that it is `now`."""
        low, high = now - time.monotonic() * 1000, now + 1 - sent * 1000
        if low > self._high or high < self._low:  # a jump, drift, or the first answer
            self._low, self._high = low, high
        else:
            self._low, self._high = max(low, self._low), min(high, self._high)

    @property
    def vague(self) -> float:
        """Milliseconds that `now` and `when` may be wrong by."""
        return self._high - self._low

    def now(self) -> float:
        """The server's milliseconds, about."""
        return time.monotonic() * 1000 + self._low

    def when(self, ms: int) -> float:
        """The first moment of the monotonic clock at which the server surely shows `ms`."""
        return (ms - self._low) / 1000
