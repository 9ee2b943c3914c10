"""Waiting for one descriptor. `select.select` fails above descriptor 1,023, so nothing here uses it."""

from __future__ import annotations

import select


def readable(fd: int, seconds: float | None = 0.0) -> bool:
    """True if `fd` is readable, or has ended, within so many seconds; None waits for ever."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(None if seconds is None else max(0.0, seconds) * 1000))
