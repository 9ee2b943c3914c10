"""The records of what a worker's attempts leave behind: from when on there are any, and when they are sent (E2 to E5)."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from regiment import log
from regiment.contracts import Done, Settlement
from regiment.contracts.effects import Effect
from regiment_runner.shared import page
from regiment_runner.shared.annex import Annex
from regiment_runner.worker.lease import Lease
from regiment_runner.worker.outbox import Outbox, leave
from regiment_runner.worker.runtime import Runtime
from regiment_runner.worker.trial import Left, Trial

EFFECTS_NS = 10_000_000
"""Nanoseconds that what a success leaves behind waits for the rest of its batch."""


class Keeping:
    """The annex of a worker's page. It has one from the start if plugins are asked of every end, else once a task has left
    something behind; until then, and where there is no memory for it, such a task is settled by itself (E5).
    """

    def __init__(self, runtime: Runtime, lease: Lease, outbox: Outbox, settle_within: Callable[[int], None]) -> None:
        self._runtime, self._lease, self._outbox, self._settle_within = runtime, lease, outbox, settle_within
        self._hurried, self._told = False, 0
        self._throttle = log.Throttle()
        self._lock = threading.Lock()
        """Held while a record is written and its number told, and while all that was told is taken (E4)."""
        self.annex: Annex | None = None
        self.any = bool(runtime.effects)
        """Whether anything may be left behind by what is to be settled."""
        self.blank: tuple[()] | None = None
        """What attempts leave behind that leave nothing: () if their ends have records all the same."""
        if self.any:
            self._have_annex()

    def _have_annex(self) -> None:
        """From the next number on each that ends has a record (E3)."""
        try:
            self.annex, self.blank = Annex(self._runtime.page, self._lease.next), ()
        except OSError as error:
            if self._runtime.effects:
                raise
            if self._throttle() is not None:
                next = "each task that leaves something behind is settled by itself"
                log.event(logging.WARNING, "worker.no_annex", error=str(error), next=next)

    def keep(self, attempt: Trial) -> bool:
        """Write the record of a success in a sprint; False if it goes by itself (E5)."""
        left = attempt.made
        if type(left) is not Left or not self._recorded(attempt, left):
            return False
        attempt.made = self.blank
        if not self._hurried:
            self.hurry()
        return True

    def end(self, attempt: Trial, settlement: Settlement | None, left: Left) -> None:
        """Note the end of an attempt, in its thread: a success in its record, on the page, and for the driver, in this order."""
        if self._outbox.forked:
            leave()
        attempt.ended = page.now()
        if type(settlement) is not Done:
            self._outbox.end(attempt, settlement, left.effects)
        elif self.annex is None and not left.effects:
            attempt.words[attempt.at] = attempt.number << 3 | page.DONE
            self._outbox.end(attempt, settlement)
        else:
            with self._lock:
                recorded = self._recorded(attempt, left)
                self._outbox.end(attempt, settlement, None if recorded else left.effects)

    def hurry(self) -> None:
        """In the driver: if something is left behind, others may wait for it, and it is settled soon, with its batch or before."""
        if self._outbox.effects and not self._hurried:
            self._hurried = True
            self._settle_within(EFFECTS_NS)

    def _recorded(self, attempt: Trial, left: Left) -> bool:
        """Whether a success may be settled with its batch: it has its record, written before it is marked done (E2), or needs none."""
        number = attempt.number
        if self.annex is None or number < self.annex.first:
            if left.effects:
                self.any = True
                return False
        elif not self.annex.append(number, left.data):
            return False
        elif left.effects:
            self._outbox.effects[number] = left.effects
        attempt.words[attempt.at] = number << 3 | page.DONE
        return True

    def all_that_ended(
        self, limit: int, drain: Callable[[], None]
    ) -> tuple[list[Settlement], dict[int, Sequence[Effect]]]:
        """What the next exchange is to say, with effects: of every attempt whose record is in this half of the annex (E4)."""
        if self.annex is None and limit:
            self._have_annex()
        with self._lock:
            drain()
            self._hurried = False
            self._told = len(self._runtime.ends)
            if self.annex is not None:
                self.annex.flip()
            return self._outbox.settlements(), self._outbox.left()

    def lost(self, attempt: Trial) -> None:
        """The store knows nothing of it any more: nor will it hear of what it leaves."""
        task_id = attempt.task.id if attempt.task is not None else None
        log.event(logging.WARNING, "lease.lost", id=task_id, queue=self._lease.queue)
        self._outbox.effects.pop(attempt.number, None)
        self._runtime.tally.forget(attempt)

    def answered(self) -> None:
        """The store has taken all of it."""
        del self._runtime.ends[: self._told]
        if self.annex is not None:
            self.annex.answered()

    def fenced(self) -> None:
        """Nothing of it will ever be settled under this identity (R1)."""
        self._hurried = False
        if self.annex is not None:
            with self._lock:
                self.annex.clear()
