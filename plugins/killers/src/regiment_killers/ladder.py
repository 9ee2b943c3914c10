"""The supervisor's part of a killer that may end the process: a soft strike when it is time, then the last rung."""

from __future__ import annotations

from regiment.contracts import View


def climb(view: View, now: int) -> int | None:
    """Strike what is late at `now` (boot clock, nanoseconds); returns when to look again, None for no deadline.

    A hard strike follows R16: the slots are named and read again, and only a worker that is still in one of these tasks is
    killed. All that are late are named in one look: which of them is guilty is not known here.
    """
    wake: int | None = None
    late: list[tuple[int, int]] = []
    for reading in view.readings():
        number, struck = reading.number, reading.struck == reading.number
        if reading.hard and now >= reading.hard:
            late.append((reading.slot, number))
            continue
        if reading.soft and now >= reading.soft and not struck:
            view.soft(reading.slot, number)
            struck = True
        pending = reading.hard if struck or not reading.soft else reading.soft
        if pending:
            wake = pending if wake is None else min(wake, pending)
    still = view.condemn_all(late) if late else ()
    for slot, number in still:
        view.kill(slot, number, "killed at its hard time limit")
    return None if still else wake
