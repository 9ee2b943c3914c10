"""Where attempts come from: leasing, starting and settling deliveries, under the rules of lease and page.

One thread, the driver, calls `take`; it alone speaks to the store. Attempts may end in any thread: they note their end on
the page and leave the settlement in an outbox, which the driver's next exchange carries.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from collections.abc import Callable

from regiment.contracts import Back, Dead, Delivery, Done, Settlement
from regiment_runner.shared import page
from regiment_runner.worker import respawned
from regiment_runner.worker.attempt import Attempt
from regiment_runner.worker.keeping import Keeping
from regiment_runner.worker.lease import NO_EFFECTS, Hold, Lease
from regiment_runner.worker.outbox import Answered, Outbox
from regiment_runner.worker.runtime import Runtime
from regiment_runner.worker.trial import NOTHING, Left, Trial
from regiment_runner.worker.verdict import is_suspect, was_struck
from regiment_runner.worker.waiting import Waiting
from regiment_runner.worker.weight import Weight

_clock, _BOOT = time.clock_gettime_ns, page.CLOCK
NEVER = 1 << 62
"""A time on the boot clock, in nanoseconds, that does not come; and a number that nothing reaches."""


class Source:
    """Attempts for an executor with `slots` slots.

    `wake` is an eventfd that becomes readable when anything outside wants the driver's attention: a signal, an order, an
    attempt that ended in another thread. `tell_keeper` wakes the keeper.
    """

    def __init__(
        self,
        runtime: Runtime,
        lease: Lease,
        slots: int,
        wake: int,
        *,
        burst: bool = False,
        elsewhere: bool = False,
        tell_keeper: Callable[[], object] = lambda: None,
    ) -> None:
        self.runtime, self.lease, self.wake_fd, self.burst = runtime, lease, wake, burst
        self.config, self.page = runtime.config, runtime.page
        self.words, self._map, self._pack = self.page.words, self.page.map, page.PACK_START
        self.hold = Hold(lease, self.page, wake, tell_keeper, self._runs, self._fenced)
        self.waiting = Waiting(runtime, self.hold, burst, self.end)
        self.outbox = Outbox()
        self.slots = runtime.slots = slots
        self.elsewhere = runtime.elsewhere = slots > 1 or elsewhere
        """Whether attempts end in other threads than the driver's, which must then be woken."""
        self.page.have_slots(slots)
        self.keeping = Keeping(runtime, lease, self.outbox, self._settle_within)
        self.keep = self.keeping.keep
        self.ended = self.respawn = self.stop_all = False
        line = None if self.elsewhere else self
        self.attempts = [Attempt(runtime, self, slot, line) for slot in range(slots)]
        self._free = list(range(slots - 1, -1, -1))
        self._busy = 0
        self.batch: deque[Delivery] = deque()
        self._alone: Delivery | None = None
        """What runs, or is to run, without company."""
        self._suspects: list[Trial] = []
        """What asked for another process again: given back, counted, when this one ends."""
        self._stuck: deque[tuple[Attempt, int, str]] = deque()
        self.written_off = 0
        """Attempts whose threads are not waited for any more."""
        self.check = True
        """Whether anything but starting the next delivery may be due."""
        self.look_by = self._settle_by = 0
        """When, on the boot clock, more must be looked at than the next delivery (lease, settlement, memory), and when the
        settlement of what is done is due; 0: nothing is done and unsettled.
        """
        self._settle_ns = int(self.config.settle_within * 1e9)
        self._give_back_ns = int((self.config.give_back_after or 0) * 1e9)
        self.weight = Weight(self.words[page.MEMORY])
        self._tasks = self._returned = 0
        self._most = self.config.max_tasks_per_run or NEVER

    # What the executor and the attempts call

    def take(self, block: bool = True) -> Attempt | None:
        """The next attempt; None when the worker is to end, or, without `block`, when there is none now."""
        while True:
            if self.outbox.ended or self._stuck:
                self._drain()
            if self.batch and self._free and not self.check and not self.words[page.ORDERS]:
                now = _clock(_BOOT)
                if now < self.look_by:
                    attempt = self._start(now)
                    if attempt is not None:
                        return attempt
                    continue
            if self._step():
                continue
            if self.ended or not block:
                return None
            self._wait()

    def done(self, attempt: Trial) -> None:
        """An attempt has succeeded, and its page says so, unless it leaves something behind that has no record yet."""
        number = attempt.number
        if attempt.made and type(attempt.made) is Left:
            self.finish(attempt, Done(number, number), attempt.made)
        elif self.elsewhere:
            self.outbox.end(attempt, Done(number, number))
            self.poke()
        else:
            self.ran(number, number)
            self._busy = 0
            self._alone = None
            self._free.append(0)

    def ran(self, first: int, last: int) -> None:
        """These have succeeded in a sprint, in its one slot, and their page said so one after the other."""
        self.outbox.done(first, last)
        if not self._settle_by:
            self._settle_by = page.now() + self._settle_ns
            self.look_by = min(self.look_by, self._settle_by)
        self._tasks += last - first + 1
        if self._tasks >= self._most:
            self.check = True

    def _settle_within(self, ns: int) -> None:
        self._settle_by = min(self._settle_by or NEVER, page.now() + ns)
        self.look_by = min(self.look_by, self._settle_by)

    def finish(self, attempt: Trial, settlement: Settlement | None, left: Left = NOTHING) -> None:
        """Note the end of an attempt; called in the attempt's thread, once, as its last step."""
        self.keeping.end(attempt, settlement, left)
        if self.elsewhere:
            self.poke()

    def came_back(self, attempt: Trial) -> bool:
        """Settle an attempt that asks for another process, if its delivery has asked for this one already.

        The first time it goes back as it is. From the second on this is a crash in slow motion: at the end of this process
        it goes back counted, with the pauses of poison, until it is dead.
        """
        asked = respawned.asked_before(self.page.path, attempt.delivery.payload)
        if asked:
            self.finish(attempt, None)
        return asked

    def write_off(self, slot: int, number: int, stack: str) -> None:
        """The thread that runs `number` in `slot` does not obey; called in the main thread, between any two bytecodes."""
        self._stuck.append((self.attempts[slot], number, stack))
        self.poke()

    def end(self, respawn: bool) -> None:
        """A task asked for the end of this process (`respawn`), or of all workers of its target."""
        if respawn:
            self.respawn = True
        else:
            self.stop_all = True
        self.check = True

    def poke(self) -> None:
        """Wake the driver."""
        with contextlib.suppress(BlockingIOError, OSError):
            os.eventfd_write(self.wake_fd, 1)

    def _runs(self) -> bool:
        return self._busy > 0

    @property
    def over(self) -> int:
        """How many attempts have ended with anything but a return to the queue."""
        return self._tasks - self._returned

    # Deciding what is next

    def _step(self) -> bool:
        """Do what is due besides starting; False if there is nothing to do but wait, or `ended` is set."""
        self.check = False
        words = self.words
        words[page.TASKS] = self._tasks
        if self._tasks >= self._most or (self.weight.limit and self.weight.over()):
            self.respawn = True
        if self.outbox.pending or self.outbox.backs or (self._settle_by and page.now() >= self._settle_by):
            self._exchange(0)
            self.check = True  # a task that asked for the end of this process has just been settled, perhaps
            return True
        if words[page.ORDERS] or self.respawn or self.stop_all:
            self.check = True
            return self._wind_down()
        if not self._free:
            return False
        if self.batch:
            ready = self.hold.renewed()
            self._look_ahead()
            if not ready:
                return True
            return not self._must_wait_alone() or bool(self.outbox.backs)
        if self._alone is not None and self._busy:
            return False
        if self._exchange(self._limit()) or not self.lease.turn:
            return True
        if self.burst and not self._busy and self.waiting.burst_over():
            self.ended = True
        # An order that came while the store was asked has woken nobody who would wake again.
        return bool(words[page.ORDERS])

    def _wind_down(self) -> bool:
        """Give back what has not started; sets `ended` once nothing runs, is unsettled or leased."""
        self._give_back_batch()
        self._alone = None
        if self.outbox.backs or (self._settle_by and not self._busy):
            self._exchange(0)
            return True
        if self._suspects and not self._busy:
            self._give_back_suspects()
        quiet = self.words[page.ORDERS] == page.QUIET and not (self.respawn or self.stop_all)
        self.ended = not self._busy and not quiet
        return False

    def _limit(self) -> int:
        return max(1, min(self.config.tasks_per_transaction, self._most - self._tasks - self._busy))

    def _must_wait_alone(self) -> bool:
        """Whether the next delivery is on its last try, or a suspect, and has company: it runs alone, or its neighbors die
        with it.
        """
        delivery = self.batch[0]
        last = delivery.count >= self.config.max_deliveries - 1
        if not delivery.count or not (last or is_suspect(delivery.note)):
            return False
        if self._alone is not delivery:
            self._alone = delivery
            if len(self.batch) > 1:
                self.outbox.backs.append(Back(self.batch[1].receipt, self.batch[-1].receipt))
                self.batch = deque([delivery])
        return bool(self._busy or self.outbox.backs)

    # Leasing and settling

    def _exchange(self, limit: int) -> bool:
        """Settle what has ended, and lease up to `limit`; whether anything was leased."""
        if not self.lease.turn and not self.hold.join():
            return False
        keeping, effects = self.keeping, NO_EFFECTS
        if keeping.any:
            settlements, effects = keeping.all_that_ended(limit, self._drain)
        else:
            settlements = self.outbox.settlements()
        if settlements:
            self.waiting.last_task = time.monotonic()
        taken = self.hold.exchange(settlements, limit, not self._busy and not self.batch, effects)
        if taken is None:
            return False
        if keeping.any:
            keeping.answered()
        self._settle_by = 0
        if self.outbox.pending or self.outbox.backs:
            self._slots_are_free(self.outbox.answered(taken.lost))
        if limit:
            self.waiting.next_due = None if taken.next_due is None else time.monotonic() + taken.next_due
        if not taken.deliveries:
            return False
        self.batch.extend(taken.deliveries)
        self._look_ahead()
        if len(self.batch) > len(self._free):
            # Something will wait behind something: the keeper must look in time, should that be slow.
            wanted = page.now() + min(self._give_back_ns or NEVER, self._settle_ns)
            if wanted < self.words[page.LOOKING]:
                self.hold.tell_keeper()
        return True

    def _slots_are_free(self, answered: Answered) -> None:
        """What was not Done has been settled (R11)."""
        for attempt in answered.free:
            self.words[attempt.at] = attempt.number << 3 | page.DONE
            self._release_slot(attempt)
        for attempt in answered.lost:
            self.keeping.lost(attempt)
        for back in answered.backs:
            for slot in range(self.slots):
                number, phase = self.page.slot_word(slot)
                if phase == page.RETURNING and back.first <= number <= back.last:
                    self.words[page.slot_index(slot)] = number << 3 | page.DONE

    def _fenced(self) -> None:
        for attempt in self.outbox.fenced():
            self._release_slot(attempt)
        self.keeping.fenced()
        self._settle_by, self._alone = 0, None
        self.batch.clear()

    def _look_ahead(self) -> None:
        until, hold = self.words[page.LEASE_UNTIL], self.hold
        ends = until if until == hold.asked_for else until - hold.margin
        self.look_by = min(ends, self._settle_by or NEVER, self.weight.by)

    # Starting

    def _start(self, now: int) -> Attempt | None:
        """Start the next delivery of the batch in a free slot, if the rules let it (R10)."""
        delivery = self.batch[0]
        number, payload, count, note, _ = delivery
        if count and self._must_wait_alone():
            self.check = True
            return None
        attempt = self.attempts[self._free[-1]]
        phase = page.JUDGING if was_struck(note) else page.STARTED
        self._pack(self._map, attempt.start_at, now, 0, 0, 0, 0, payload)
        self.words[attempt.at] = number << 3 | phase
        revoked = self.words[page.REVOKED]
        if revoked and revoked >> 24 <= number <= (revoked >> 24) + (revoked & 0xFFFFFF):
            self._withdraw(attempt, number)
            return None
        self.batch.popleft()
        self._free.pop()
        self._busy += 1
        attempt.delivery, attempt.number, attempt.started = delivery, number, now
        attempt.identity, attempt.task, attempt.made = self.lease.consumer, None, self.keeping.blank
        return attempt

    def _withdraw(self, attempt: Attempt, number: int) -> None:
        """R14: the number stays on the page as *returning* until its Back, with the rest of the batch, is answered."""
        self.words[attempt.at] = number << 3 | page.RETURNING
        self._give_back_batch()
        self.check = True

    def _give_back_batch(self) -> None:
        if self.batch:
            self.outbox.backs.append(Back(self.batch[0].receipt, self.batch[-1].receipt))
            self.batch.clear()

    def _give_back_suspects(self) -> None:
        """The last thing that this process does in the store: it holds nothing else any more."""
        lease = self.lease
        notes = {attempt.number: respawned.NOTE for attempt in self._suspects}
        self.hold.insist(lambda: lease.connector.release(lease.queue, lease.consumer, (), notes))
        for attempt in self._suspects:
            self.words[attempt.at] = attempt.number << 3 | page.DONE
        self._suspects = []

    # Ends

    def _drain(self) -> None:
        """Take what ended from the outbox: Done rides on the next exchange, anything else goes at once (R11)."""
        while self._stuck:
            attempt, number, stack = self._stuck.popleft()
            if attempt.write_off(number, stack):
                self.written_off += 1
                self.end(respawn=True)  # it takes nothing more, and ends when its other slots are free
        while self.outbox.ended:
            ended, settlement, left = self.outbox.ended.popleft()
            self._busy -= 1
            if ended.identity != self.lease.consumer:
                self.keeping.lost(ended)
                self._tasks += 1
                self._release_slot(ended)
            elif type(settlement) is Done and left is None:
                self.ran(settlement.first, settlement.last)
                self.keeping.hurry()
                self._release_slot(ended)
            elif settlement is None:
                self._tasks += 1
                self._suspects.append(ended)
                self.check = True
            else:
                self._tasks += 1
                self._returned += type(settlement) is Back
                self.words[page.DEAD_LETTERS] += type(settlement) is Dead
                self.outbox.waits(ended, settlement, left)
                self.check = True

    def _release_slot(self, attempt: Trial) -> None:
        if self._alone is not None and self._alone is attempt.delivery:
            self._alone = None
        self._free.append(attempt.slot)

    # Waiting

    def _wait(self) -> None:
        """Sleep until something may have changed: in the store if something new could start, else on the descriptor."""
        due = (self._settle_by - page.now()) / 1e9 if self._settle_by else 60.0
        full = not self._free or self.batch or self._alone is not None
        if full or self.words[page.ORDERS] or self.respawn or self.stop_all:
            self.hold.sleep(min(60.0, max(0.0, due)))
            return
        self.waiting.for_a_task(max(0.0, due), not self._busy)
