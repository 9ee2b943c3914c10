"""A worker's own memory: over its limit, the process ends between two tasks and another takes its place."""

from __future__ import annotations

from regiment_runner.shared import page, procfs

WEIGH_NS = 1_000_000
"""Nanoseconds between two readings: a reading costs some 2 µs, so 0.2 % where a limit is set."""


class Weight:
    """Resident memory, held against `limit` bytes; 0: there is none."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._statm = procfs.open_statm() if limit else -1
        self.by = 0 if limit else 1 << 62
        """When, on the boot clock in nanoseconds, it is to be read again."""
        self.too_large = 0
        """Bytes that were found above the limit; 0: it was not."""

    def over(self) -> bool:
        """Read it, if it is time; whether it is above the limit."""
        now = page.now()
        if now < self.by:
            return False
        self.by, used = now + WEIGH_NS, procfs.resident_of(self._statm)
        if used > self.limit:
            self.too_large = used
        return used > self.limit
