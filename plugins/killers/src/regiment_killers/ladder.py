"""The supervisor's part of a killer that may end the process: a soft strike when it is time, then the last rung."""

from __future__ import annotations

from regiment.contracts import View


def climb(view: View, now: int) -> int | None:
    """Strike what is late at `now` (boot clock, nanoseconds); returns when to look again, None for no deadline.

    A hard strike follows R16: the slot is named and read again, and only a worker that is still in that task is killed.
    """
    wake: int | None = None
    for reading in view.readings():
        number, struck = reading.number, reading.struck == reading.number
        if reading.hard and now >= reading.hard:
            if view.condemn(reading.slot, number):
                view.kill(reading.slot, number, "killed at its hard time limit")
                return None
            continue
        if reading.soft and now >= reading.soft and not struck:
            view.soft(reading.slot, number)
            struck = True
        pending = reading.hard if struck or not reading.soft else reading.soft
        if pending:
            wake = pending if wake is None else min(wake, pending)
    return wake
