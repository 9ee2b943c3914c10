"""What the driver of a worker holds of its queue: the lease, what was leased, and what is done and not yet settled."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import select
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from regiment import log
from regiment.contracts import Back, Delivery, Done, Settlement, Taken
from regiment.errors import Fenced, StoreUnavailable
from regiment_runner.shared import page
from regiment_runner.worker.controls import Controls
from regiment_runner.worker.lease import Lease
from regiment_runner.worker.runtime import Runtime

NEVER = 1 << 62
"""A time on the boot clock, in nanoseconds, that does not come."""


class Holding:
    """The part of a source that speaks to the store."""

    def __init__(self, runtime: Runtime, lease: Lease, slots: int, wake: int, tell_keeper: Callable[[], None]) -> None:
        self.runtime, self.lease, self.wake_fd = runtime, lease, wake
        self.config, self.page = runtime.config, runtime.page
        self.words = self.page.words
        self.slots = runtime.slots = slots
        self.page.have_slots(slots)
        self.tell_keeper = tell_keeper
        self.left_unsettled = False
        """Whether it was told to end and did, although its store did not answer any more."""
        self._free = list(range(slots - 1, -1, -1))
        self._busy = 0
        self._batch: deque[Delivery] = deque()
        self._alone: Delivery | None = None
        self._done: list[Done] = []
        self._done_first = self._done_last = 0
        self._settle_by = 0
        """When, on the boot clock, the settlement of what is done is due; 0: nothing is done and unsettled."""
        self._pending: list[tuple[Controls, Settlement]] = []
        self._backs: list[Back] = []
        self._look_by = 0
        """When, on the boot clock, more must be looked at than the next delivery: lease, settlement, memory."""
        self._memory_by = NEVER
        self._margin = int(lease.terms.lease * 1e9 / 3)
        self._asked_for = 0
        """The end of the lease that this worker has tried to put off by itself; once for each."""
        self._next_due: float | None = None
        self._last_task = time.monotonic()
        self._lost_since: float | None = None
        self._throttle = log.Throttle()
        self._settle_ns = int(self.config.settle_within * 1e9)
        self._give_back_ns = int((self.config.give_back_after or 0) * 1e9)
        self._poll = select.poll()
        self._poll.register(wake, select.POLLIN)

    # Leasing and settling

    def _exchange(self, limit: int) -> bool:
        """One exchange, repeated under the same turn until it is answered; whether it leased anything."""
        lease, words = self.lease, self.words
        if not lease.turn and not self._join():
            return False
        settlements = self._settlements()
        nothing = not self._busy and not self._batch
        lease.turn += 1
        if limit:
            words[page.BASE], words[page.LAST] = lease.next, lease.next + limit - 1
        words[page.TURN] = lease.turn
        taken = self._insist(lambda: lease.exchange(settlements, limit, nothing))
        if taken is None:
            return False
        if self._pending or self._backs:
            self._answered(taken)
        self._done.clear()
        self._settle_by = 0
        return self._received(taken, limit)

    def _settlements(self) -> list[Settlement]:
        settlements: list[Settlement] = [*self._done]
        if self._settle_by:
            settlements.append(Done(self._done_first, self._done_last))
        if self._pending or self._backs:
            settlements += self._backs
            settlements += [settlement for _, settlement in self._pending]
        if settlements:
            self._last_task = time.monotonic()
        return settlements

    def _answered(self, taken: Taken) -> None:
        """What was not Done has been settled: its slots are free again (R11)."""
        for attempt, settlement in self._pending:
            self.words[attempt.at] = attempt.number << 3 | page.DONE
            if settlement[0] in taken.lost:
                self._say_lost(attempt)
            self._release_slot(attempt)
        for back in self._backs:
            for slot in range(self.slots):
                number, phase = self.page.slot_word(slot)
                if phase == page.RETURNING and back.first <= number <= back.last:
                    self.words[page.slot_index(slot)] = number << 3 | page.DONE
        self._backs, self._pending = [], []

    def _received(self, taken: Taken, limit: int) -> bool:
        if limit:
            self._next_due = None if taken.next_due is None else time.monotonic() + taken.next_due
        if not taken.deliveries:
            return False
        self._batch.extend(taken.deliveries)
        self.lease.next = taken.deliveries[-1].receipt + 1
        self.words[page.LAST] = self.lease.next - 1
        self._look_ahead()
        if len(self._batch) > len(self._free):
            # Something will wait behind something: the keeper must look in time, should that be slow.
            wanted = page.now() + min(self._give_back_ns or NEVER, self._settle_ns)
            if wanted < self.words[page.LOOKING]:
                self.tell_keeper()
        return True

    def _insist(self, ask: Callable[[], Any]) -> Any:
        """Ask the store until it answers; None if it refused this consumer."""
        pause = 0.05
        while True:
            try:
                answer = ask()
            except Fenced:
                self._fenced()
                return None
            except StoreUnavailable as error:
                self._unreachable(error)
                self._sleep(pause * random.uniform(0.5, 1.0))
                pause = min(1.0, pause * 2)
                continue
            if self._lost_since is not None:
                seconds = round(time.monotonic() - self._lost_since, 1)
                log.event(logging.WARNING, "connector.recovered", seconds=seconds)
                self._lost_since, self._throttle = None, log.Throttle()
            return answer

    def _unreachable(self, error: StoreUnavailable) -> None:
        self._lost_since = self._lost_since or time.monotonic()
        if self._throttle() is not None:
            log.event(logging.ERROR, "connector.lost", error=str(error), queue=self.lease.queue)
        if self.words[page.ORDERS] & page.STOP and not self._busy:
            # What is unsettled stands on the page; the keeper settles it and gives back the rest after our end.
            self.left_unsettled = True
            raise SystemExit(0)

    # Identity

    def _join(self) -> bool:
        lease = self.lease
        self.words[page.FIRST] = lease.next
        self.page.join(0, lease.queue, lease.consumer, lease.next)
        sent = page.now()
        if self._insist(lease.join) is None:
            return False
        self.words[page.LEASE_UNTIL] = sent + int(lease.terms.lease * 1e9)  # R7
        self.tell_keeper()
        return True

    def _fenced(self) -> None:
        """Taken for dead: nothing is written any more under this identity, and the next joins anew (R1)."""
        lease = self.lease
        log.event(logging.WARNING, "lease.lost", queue=lease.queue, consumer=lease.consumer)
        for attempt, _ in self._pending:
            self._release_slot(attempt)
        self._done, self._backs, self._pending, self._settle_by = [], [], [], 0
        self._batch.clear()
        self._alone = None
        lease.next = max(lease.next, self.words[page.LAST] + 1)
        with contextlib.suppress(StoreUnavailable):
            # R1: what the old identity still holds returns uncounted; nothing is said of what was done.
            lease.connector.release(lease.queue, lease.consumer, (), {}, close=True)
        lease.renew_identity()

    def _renew_early(self) -> None:
        """A third of the lease is left, and its keeper renews four times in one: it has not begun yet, or is held up. Try
        once; if that fails, what is leased may start until the lease has passed.
        """
        self._asked_for, sent = self.words[page.LEASE_UNTIL], page.now()
        with contextlib.suppress(StoreUnavailable):
            if self.lease.renew():
                self.words[page.LEASE_UNTIL] = sent + int(self.lease.terms.lease * 1e9)  # R7
            else:
                self._fenced()

    def _late(self) -> None:
        """`lease_until` has passed: ask the store itself before anything starts (R7)."""
        sent = page.now()
        answer = self._insist(self.lease.renew)
        if answer is False:
            self._fenced()
        elif answer:
            self.words[page.LEASE_UNTIL] = sent + int(self.lease.terms.lease * 1e9)

    # Slots and time

    def _look_ahead(self) -> None:
        until = self.words[page.LEASE_UNTIL]
        ends = until if until == self._asked_for else until - self._margin
        self._look_by = min(ends, self._settle_by or NEVER, self._memory_by)

    def _sleep(self, seconds: float) -> None:
        """Sleep, but wake for the wake-up descriptor, and clear it."""
        if self._poll.poll(seconds * 1000):
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self.wake_fd)

    def _release_slot(self, attempt: Controls) -> None:
        if self._alone is not None and self._alone is attempt.delivery:
            self._alone = None
        self._free.append(attempt.slot)

    def _say_lost(self, attempt: Controls) -> None:
        task_id = attempt.task.id if attempt.task is not None else None
        log.event(logging.WARNING, "lease.lost", id=task_id, queue=self.lease.queue)
