"""What has ended in a worker and its store does not know yet. Data only: no clock, no page, no store."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Collection, Sequence
from typing import NamedTuple

from regiment import log
from regiment.contracts import Back, Done, Settlement
from regiment.contracts.effects import Effect
from regiment_runner.worker.trial import Trial


class Answered(NamedTuple):
    """What was no success and is settled now."""

    free: list[Trial]
    """Attempts whose slots are free again (R11)."""
    lost: list[Trial]
    """Those of them of which the store knows nothing any more."""
    backs: list[Back]
    """Spans that went back."""


class Outbox:
    """Ends of attempts on their way into the next exchange. `end` may be called in any thread, all else by the driver.

    A success is a number, which stands on the page as done already (R2). Any other settlement keeps its attempt, and with it
    the slot, until it is answered (R11); so does a success whose effects have no room on the page (E5).
    """

    def __init__(self) -> None:
        self.ended: deque[tuple[Trial, Settlement | None, Sequence[Effect] | None]] = deque()
        """What attempts have left here and the driver has not looked at; None: one that asked for another process again.
        The effects are those that have no record on the page; None: there are none, or they have one.
        """
        self.pending: list[tuple[Trial, Settlement]] = []
        self.effects: dict[int, Sequence[Effect]] = {}
        """Number -> what it leaves behind, of all that is to be settled next."""
        self.backs: list[Back] = []
        """Spans of the batch that go back without having run."""
        self.forked = False
        """Whether this is a process that a task has forked: it settles nothing, and ends where the task ends."""
        self._spans: list[Done] = []
        self._first, self._last = 0, -1

    def done(self, first: int, last: int) -> None:
        """Numbers that have succeeded, each told once; those that follow one another are settled as one span."""
        if self.forked:
            leave()
        if first == self._last + 1:
            self._last = last
            return
        if self._last >= 0:
            self._spans.append(Done(self._first, self._last))
        self._first, self._last = first, last

    def end(self, attempt: Trial, settlement: Settlement | None, effects: Sequence[Effect] | None = None) -> None:
        """Any end of an attempt, for the driver to look at."""
        if self.forked:
            leave()
        self.ended.append((attempt, settlement, effects))

    def waits(self, attempt: Trial, settlement: Settlement, effects: Sequence[Effect] | None) -> None:
        """What is to be answered before its slot is free, with effects that have no record."""
        self.pending.append((attempt, settlement))
        if effects:
            self.effects[attempt.number] = effects

    def settlements(self) -> list[Settlement]:
        """All that the next exchange is to say. What is done is handed over: the exchange is repeated until it is answered,
        and if it never is, the page says the same to the keeper. All else stays until it is answered.
        """
        found: list[Settlement] = []
        if self._last >= 0:
            found += self._spans
            found.append(Done(self._first, self._last))
            self._spans, self._last = [], -1
        if self.pending or self.backs:
            found += self.backs
            found += [settlement for _, settlement in self.pending]
        return found

    def answered(self, lost: Collection[int]) -> Answered:
        """The store has taken all of `settlements`, but for receipts that are `lost` to this consumer."""
        found = Answered([attempt for attempt, _ in self.pending], [], self.backs)
        found.lost.extend(attempt for attempt, settlement in self.pending if settlement[0] in lost)
        self.pending, self.backs = [], []
        return found

    def left(self) -> dict[int, Sequence[Effect]]:
        """The effects of all that `settlements` has said; they are handed over with it."""
        found, self.effects = self.effects, {}
        return found

    def fenced(self) -> list[Trial]:
        """Nothing of this will ever be settled (R1); the attempts whose slots are free again."""
        free = [attempt for attempt, _ in self.pending]
        self._spans, self._last, self.pending, self.backs, self.effects = [], -1, [], [], {}
        return free


def leave() -> None:
    """The end of a process that a task has forked and that came back from the task's work: it is no worker."""
    log.event(
        logging.ERROR,
        "task.forked",
        pid=os.getpid(),
        next="a child of a task came back from its work and ends here; let it end with os._exit",
    )
    os._exit(1)
