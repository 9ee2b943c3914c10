"""CPU in a quick run: every variant is started once, with a client, a worker and stores of its own, and they take short turns.

What a processor's neighbours do to it comes and goes in seconds, and doubles the same loop's CPU meanwhile. A window of a second
or two meets it or not; turns of a few tenths of a second, spread over minutes, meet it alike in each variant and in each run.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack

from benchmark.measure.session import Session
from benchmark.measure.speed import Figures, push_slice

PHASES = frozenset({"push", "bulk", "consume"})
PART = 0.15
"""Seconds of one of the parts of a turn, roughly."""
MOST = 8_000
"""Tasks of one part, at most: so many turns fit on one board."""

LEAST = 2
"""Turns that everyone has, however long they take: one alone tells nothing of its own spread."""

FRESH = 8
"""Turns of one worker; the next one is another process, because two processes of the same program were seen to differ by a tenth."""


class Seat:
    """One variant, until the stack is closed: a session where nobody takes the tasks, for pushes, and one with a worker. The
    first work of a worker and of a client is to warm up, and is nobody's figure.
    """

    def __init__(self, stack: ExitStack, pushing: Session, working: Session) -> None:
        self.pushing, self.working, self.turns = pushing, working, 0
        self.used = 0.0
        """Seconds of its turns."""
        self._started = stack.enter_context(ExitStack())
        self._push(False), self._push(True)
        self._start()

    def done(self, seconds: float) -> bool:
        """Whether it has had its time, and turns enough."""
        return self.turns >= LEAST and self.used > seconds

    def turn(self) -> Iterator[tuple[str, Figures]]:
        """Push one by one, push in bulk, work off what was pushed while the worker was held."""
        if self.turns and self.turns % FRESH == 0:
            self._start()
        began, variant = time.monotonic(), self.working.variant
        yield "push", self._push(False)
        if variant.bulk:
            yield "bulk", self._push(True)
        yield "consume", self._consume()
        if not variant.waits:  # it polls: not while others have their turns
            self.working.hold(self.workers)
        self.turns, self.used = self.turns + 1, self.used + time.monotonic() - began

    def _start(self) -> None:
        self._started.close()
        self.workers = self._started.enter_context(self.working.workers())
        self._consume()

    def _push(self, bulk: bool) -> Figures:
        return push_slice(self.pushing, MOST, bulk, PART)

    def _consume(self) -> Figures:
        session, workers = self.working, self.workers
        count = min(MOST, int(session.variant.pace * 2 * PART))
        session.hold(workers)
        first, _ = session.push("noop", count, bulk=True)
        before = session.sample(workers)
        workers.go()
        session.until(workers, first, count, count, 60)
        found = before.until(session.sample(workers), count)
        return {**found, "twice": session.board.again(first, count)}
