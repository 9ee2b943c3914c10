"""The supervisor's half of a killer that may end the process: a soft strike first, then the hard one."""

from __future__ import annotations

from regiment.contracts import View


def climb(view: View, now: int) -> int | None:
    """Strike the tasks that are late at `now` (boot clock, nanoseconds); returns when to look again, None for no
    deadline.

    A hard strike follows R16: it names the slots and reads them again, and kills only a worker that is still in one of
    these tasks. It names all late slots in one look, because it does not know which task is guilty.
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
