"""Where attempts come from: leasing, starting and settling deliveries, under the rules of lease and page.

One thread, the driver, calls `take`; it alone speaks to the store. Attempts may end in any thread: `finish` notes the
end on the page and leaves the settlement in an outbox, which the driver's next exchange carries.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import select
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from garrison import log, page
from garrison.attempt import Attempt, Runtime
from garrison.broker import Lease
from garrison.contracts import Back, Delivery, Done, Settlement, Taken
from garrison.errors import Control, Fenced, Respawn, Stop, StoreUnavailable


class Source:
    """Attempts for an executor with `slots` slots.

    `stopping()` says whether an order to end has come; `wake` is a descriptor that becomes readable when anything
    outside wants the driver's attention (a signal, an order, an attempt that ended in another thread).
    """

    def __init__(
        self, runtime: Runtime, lease: Lease, slots: int, wake: int, *, burst: bool = False,
        tell_keeper: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self.runtime, self.lease, self.wake_fd, self.burst = runtime, lease, wake, burst
        self.config, self.page = runtime.config, runtime.page
        self.words = self.page.words
        self.words[page.SLOTS] = self.slots = slots
        self.ended = self.respawn = self.stop_all = False
        self._tell_keeper = tell_keeper
        self._free = list(range(slots - 1, -1, -1))
        self._batch: deque[Delivery] = deque()
        self._done: list[Done] = []
        self._oldest_done = 0
        self._pending: list[tuple[Attempt, Settlement]] = []
        self._backs: list[Back] = []
        self._finished: deque[tuple[Attempt, Settlement | None]] = deque()
        self._running: dict[int, Attempt] = {}
        self._alone: Delivery | None = None
        self._next_due: float | None = None
        self._board = 0
        self._last_task = time.monotonic()
        self._poll = select.poll()
        self._poll.register(wake, select.POLLIN)
        self._lost_since: float | None = None
        self._throttle = log.Throttle()
        self._tasks = 0
        self._settle_ns = int(self.config.settle_within * 1e9)
        self._give_back_ns = int((self.config.give_back_after or 0) * 1e9)

    # What the executor and the attempts call

    def take(self, block: bool = True) -> Attempt | None:
        """The next attempt; None when the worker is to end, or, without `block`, when there is none now."""
        while True:
            if self._finished:
                self._drain()
            now = page.now()
            if (
                self._pending
                or self._backs
                or (self._done and now - self._oldest_done > self._settle_ns)
            ):
                self._exchange(0)
                continue
            if self.words[page.ORDERS] or self.respawn or self.stop_all:
                if self._wind_down():
                    return None
            elif self._free:
                if self._batch:
                    attempt = self._start(now)
                    if attempt is not None:
                        return attempt
                    continue
                elif self._may_lease():
                    if self._exchange(self._limit()):
                        continue
                    if self.burst and not self._running and self._burst_over():
                        self.ended = True
                        return None
            if not block:
                return None
            self._wait()

    def finish(self, attempt: Attempt, settlement: Settlement | None) -> None:
        """Note the end of an attempt; called in the attempt's thread, once, as its last step."""
        if type(settlement) is Done:
            at = page.slot_index(attempt.slot)
            self.words[at] = attempt.number << 3 | page.DONE
        self._finished.append((attempt, settlement))
        if self.slots > 1:
            self.poke()

    def end(self, respawn: bool) -> None:
        """A task asked for the end of this process (`respawn`), or of all workers of its target."""
        if respawn:
            self.respawn = True
        else:
            self.stop_all = True

    def poke(self) -> None:
        """Wake the driver."""
        with contextlib.suppress(BlockingIOError, OSError):
            os.eventfd_write(self.wake_fd, 1)

    @property
    def running(self) -> Sequence[Attempt]:
        """Attempts that have started and not ended."""
        return list(self._running.values())

    # Starting

    def _start(self, now: int) -> Attempt | None:
        """Start the next delivery of the batch in a free slot, if the rules let it (R10)."""
        words, delivery = self.words, self._batch[0]
        number = delivery.receipt
        if now >= words[page.LEASE_UNTIL]:
            self._late()
            return None
        if self._must_run_alone(delivery):
            return None
        slot = self._free[-1]
        phase = (
            page.JUDGING
            if delivery.note is not None and b'"timeout"' in delivery.note[:40]
            else page.STARTED
        )
        self.page.start(slot, number, delivery.payload, now, phase)
        revoked = words[page.REVOKED]
        if revoked and revoked >> 24 <= number <= (revoked >> 24) + (revoked & 0xFFFFFF):
            self._withdraw(slot, number)
            return None
        self._batch.popleft()
        self._free.pop()
        attempt = Attempt(self.runtime, self, slot, delivery, self.lease.consumer, now)
        self._running[slot] = attempt
        return attempt

    def _withdraw(self, slot: int, number: int) -> None:
        """R14: the number stays on the page as *returning* until its Back, with the rest of the batch, is answered."""
        self.words[page.slot_index(slot)] = number << 3 | page.RETURNING
        self._give_back_batch()

    def _give_back_batch(self) -> None:
        if self._batch:
            self._backs.append(Back(self._batch[0].receipt, self._batch[-1].receipt))
            self._batch.clear()

    def _must_run_alone(self, delivery: Delivery) -> bool:
        """A delivery on its last try runs alone, so that its neighbors are not condemned with it."""
        if not delivery.count or delivery.count != self.config.max_deliveries - 1:
            return False
        if self.config.delivery == "at_most_once" or self._alone is delivery:
            return bool(self._running)
        if len(self._batch) > 1:
            self._backs.append(Back(self._batch[1].receipt, self._batch[-1].receipt))
            self._batch = deque([delivery])
        self._alone = delivery
        return bool(self._running) or bool(self._backs)

    # Leasing and settling

    def _may_lease(self) -> bool:
        return self._alone is None or not self._running

    def _limit(self) -> int:
        most = self.config.tasks_per_transaction
        if self.config.max_tasks_per_run:
            most = min(
                most, max(1, self.config.max_tasks_per_run - self._tasks - len(self._running))
            )
        return most

    def _drain(self) -> None:
        """Take what ended from the outbox: Done rides on the next exchange, anything else goes at once (R11)."""
        while self._finished:
            attempt, settlement = self._finished.popleft()
            self._tasks += 1
            if attempt is self._running.get(attempt.slot):
                del self._running[attempt.slot]
            if attempt.identity != self.lease.consumer:
                log.event(
                    logging.WARNING,
                    "lease.lost",
                    id=getattr(attempt.task, "id", None),
                    queue=self.lease.queue,
                )
                self._release_slot(attempt)
            elif type(settlement) is Done:
                self._note_done(settlement)
                self._release_slot(attempt)
            elif settlement is not None:
                self._pending.append((attempt, settlement))
        self.words[page.TASKS] = self._tasks
        if self.config.max_tasks_per_run and self._tasks >= self.config.max_tasks_per_run:
            self.respawn = True

    def _note_done(self, settlement: Done) -> None:
        if not self._done:
            self._oldest_done = page.now()
        elif self._done[-1].last + 1 == settlement.first:
            self._done[-1] = Done(self._done[-1].first, settlement.last)
            return
        self._done.append(settlement)

    def _release_slot(self, attempt: Attempt) -> None:
        if self._alone is attempt.delivery:
            self._alone = None
        self._free.append(attempt.slot)
        self._last_task = time.monotonic()

    def _exchange(self, limit: int) -> bool:
        """One exchange, repeated under the same turn until it is answered; whether it leased anything."""
        lease, words = self.lease, self.words
        if not lease.turn and not self._join():
            return False
        settlements: list[Settlement] = [
            *self._done,
            *self._backs,
            *(settled for _, settled in self._pending),
        ]
        nothing = not self._running and not self._batch
        lease.turn += 1
        if limit:
            words[page.BASE], words[page.LAST] = lease.next, lease.next + limit - 1
        words[page.TURN] = lease.turn
        taken = self._insist(lambda: lease.exchange(settlements, limit, nothing))
        if taken is None:
            return False
        for attempt, settlement in self._pending:
            words[page.slot_index(attempt.slot)] = attempt.number << 3 | page.DONE
            if settlement[0] in taken.lost:
                log.event(
                    logging.WARNING,
                    "lease.lost",
                    id=getattr(attempt.task, "id", None),
                    queue=lease.queue,
                )
            self._release_slot(attempt)
        for back in self._backs:
            self._clear_returning(back)
        self._done, self._backs, self._pending = [], [], []
        return self._received(taken, limit)

    def _received(self, taken: Taken, limit: int) -> bool:
        self._board = taken.board
        if limit:
            self._next_due = None if taken.next_due is None else time.monotonic() + taken.next_due
        if not taken.deliveries:
            return False
        self._batch.extend(taken.deliveries)
        self.lease.next = taken.deliveries[-1].receipt + 1
        self.words[page.LAST] = self.lease.next - 1
        if len(self._batch) > len(self._free):
            wanted = page.now() + min(self._give_back_ns or 1 << 62, self._settle_ns)
            if wanted < self.words[page.LOOKING]:
                self._tell_keeper()
        return True

    def _clear_returning(self, back: Back) -> None:
        for slot in range(self.slots):
            number, phase = self.page.slot_word(slot)
            if phase == page.RETURNING and back.first <= number <= back.last:
                self.words[page.slot_index(slot)] = number << 3 | page.DONE

    def _insist(self, ask: Callable[[], Any]) -> Any:
        """Ask the store until it answers; None if it refused this consumer, or if the worker is to end now."""
        pause = 0.05
        while True:
            try:
                answer = ask()
            except Fenced:
                self._fenced()
                return None
            except StoreUnavailable as error:
                self._lost_since = self._lost_since or time.monotonic()
                held = self._throttle()
                if held is not None:
                    log.event(
                        logging.ERROR, "connector.lost", error=str(error), queue=self.lease.queue
                    )
                self._sleep(pause * random.uniform(0.5, 1.0))
                pause = min(1.0, pause * 2)
                if self._leaving_now():
                    # What is unsettled stays on the page as it is; the keeper returns it after this process's end.
                    raise SystemExit(0) from None
                continue
            if self._lost_since is not None:
                log.event(
                    logging.WARNING,
                    "connector.recovered",
                    seconds=round(time.monotonic() - self._lost_since, 1),
                )
                self._lost_since, self._throttle = None, log.Throttle()
            return answer

    def _leaving_now(self) -> bool:
        return bool(self.words[page.ORDERS] & page.STOP) and not self._running

    def _sleep(self, seconds: float) -> None:
        """Sleep, but wake for the wake-up descriptor, and clear it."""
        if self._poll.poll(max(0.0, seconds * 1000)):
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self.wake_fd)

    # Identity

    def _join(self) -> bool:
        lease = self.lease
        self.words[page.FIRST] = lease.next
        self.page.join(0, lease.queue, lease.consumer, lease.next)
        sent = page.now()
        if self._insist(lease.join) is None:
            return False
        self.words[page.LEASE_UNTIL] = sent + int(lease.terms.lease * 1e9)  # R7
        self._tell_keeper()
        return True

    def _fenced(self) -> None:
        """Taken for dead: nothing is written any more under this identity, and the next joins anew (R1)."""
        log.event(
            logging.WARNING, "lease.lost", queue=self.lease.queue, consumer=self.lease.consumer
        )
        for attempt, _ in self._pending:
            self._release_slot(attempt)
        self._done, self._backs, self._pending = [], [], []
        self._batch.clear()
        self._alone = None
        lease = self.lease
        lease.next = max(lease.next, self.words[page.LAST] + 1)
        lease.renew_identity()

    def _late(self) -> None:
        """`lease_until` has passed: ask the store itself before anything starts (R7)."""
        sent = page.now()
        answer = self._insist(self.lease.renew)
        if answer is False:
            self._fenced()
        elif answer:
            self.words[page.LEASE_UNTIL] = sent + int(self.lease.terms.lease * 1e9)

    # Waiting and ending

    def _wait(self) -> None:
        """Sleep until something may have changed. With nothing on lease, in the store; else on the descriptor."""
        now = time.monotonic()
        if self._running or not self._free:
            until = self._oldest_done + self._settle_ns - page.now() if self._done else int(60e9)
            self._sleep(min(60.0, max(0.0, until / 1e9)))
            return
        if self.words[page.ORDERS] & page.QUIET:
            self._sleep(60.0)
            return
        seconds = min(self.config.recheck, 0.1) if self.burst else self.config.recheck
        if self._next_due is not None:
            seconds = min(seconds, max(0.0, self._next_due - now))
        starvation = self.config.starvation
        if starvation is not None:
            seconds = min(
                seconds, max(0.001, self._last_task + starvation.time_with_no_tasks - now)
            )
        with contextlib.suppress(StoreUnavailable):
            self.lease.connector.wait(
                [(self.lease.queue, self.lease.consumer)], seconds, self.wake_fd
            )
        self._sleep(0)
        if (
            starvation is not None
            and time.monotonic() - self._last_task >= starvation.time_with_no_tasks
        ):
            self._starve()

    def _starve(self) -> None:
        seconds = time.monotonic() - self._last_task
        self._last_task = time.monotonic()
        log.event(
            logging.INFO, "worker.starving", seconds=round(seconds, 1), queue=self.lease.queue
        )
        told = self.runtime.handlers.get("on_starvation")
        if told is None:
            return
        try:
            told(seconds)
        except (Stop, Respawn) as control:
            self.end(respawn=isinstance(control, Respawn))
        except Control:
            log.event(
                logging.ERROR,
                "hook.error",
                hook="on_starvation",
                error="only stop and respawn work here",
            )
        except Exception as error:
            log.event(logging.ERROR, "hook.error", exc_info=error, hook="on_starvation")

    def _burst_over(self) -> bool:
        counts = self._insist(lambda: self.lease.connector.counts(self.lease.queue))
        return counts is not None and not (counts.ready or counts.delayed or counts.leased)

    def _wind_down(self) -> bool:
        """Give back what has not started; True once nothing runs, is unsettled or leased."""
        quiet = self.words[page.ORDERS] == page.QUIET and not (self.respawn or self.stop_all)
        self._give_back_batch()
        self._alone = None
        if self._backs or (not self._running and (self._done or self._pending)):
            self._exchange(0)
        if self._running or self._finished or quiet:
            return False
        self.ended = True
        return True
