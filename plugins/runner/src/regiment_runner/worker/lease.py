"""One consumer's hold on one queue: its identity, its turn, the numbers of its deliveries; and how a worker keeps it."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

from regiment import log
from regiment.contracts import Connector, Delivery, Settlement, Taken, Terms
from regiment.contracts.effects import Effect
from regiment.errors import Fenced, StoreUnavailable
from regiment_runner.shared import page
from regiment_runner.shared.page import Page
from regiment_runner.shared.pause import Pause

MAX_BATCH_BYTES = 8 * 1024 * 1024
"""Batches are cut at this many bytes of payload."""
NO_EFFECTS: Mapping[int, Sequence[Effect]] = MappingProxyType({})


class Lease:
    """One consumer's hold on one queue: identity, turn, and the numbers it gives to its deliveries.

    Numbers go on across identities and never restart (R1). A request whose answer was lost is repeated by calling
    `exchange` with the same turn: `repeat=True`.
    """

    def __init__(self, connector: Connector, queue: str, terms: Terms, first: int = 1) -> None:
        self.connector, self.queue, self.terms = connector, queue, terms
        self.next = first
        self.turn = 0
        self.consumer = new_consumer()

    def renew_identity(self) -> None:
        """A new consumer, whose numbers follow those of the last; it has yet to join."""
        self.consumer, self.turn = new_consumer(), 0

    def join(self) -> bool:
        """Make the consumer known to the store; True, or `Fenced`."""
        self.connector.join(self.queue, self.consumer, self.terms)
        return True

    def exchange(
        self,
        settlements: Sequence[Settlement],
        limit: int,
        holds_nothing: bool,
        effects: Mapping[int, Sequence[Effect]] | None = None,
    ) -> Taken:
        """Settle and lease under the present turn. A connector without the extra `effects` is never told of any."""
        ask, most = self.connector.exchange, MAX_BATCH_BYTES
        if effects:
            ask = partial(ask, effects=effects)  # type: ignore[call-arg]
        return ask(self.queue, self.consumer, self.turn, self.next, settlements, limit, most, holds_nothing)

    def renew(self) -> bool:
        """Extend the lease from here; False if the consumer is not known any more."""
        return not self.connector.renew([(self.queue, self.consumer)], self.terms.lease)


def _nothing(settlements: Sequence[Settlement], before: Sequence[Delivery], taken: Taken) -> None:
    """Nobody reads the notice board."""


class Hold:
    """A worker's own lease, and what its page says of it. For the driver alone; it asks until its store answers.

    `busy` tells whether any attempt runs. `on_fenced` is called when this worker was taken for dead, before it has a new name.
    """

    def __init__(
        self,
        lease: Lease,
        sheet: Page,
        wake: int,
        tell_keeper: Callable[[], object],
        busy: Callable[[], object],
        on_fenced: Callable[[], None],
    ) -> None:
        self.lease, self.page, self.words, self.wake_fd = lease, sheet, sheet.words, wake
        self.tell_keeper, self._busy, self._on_fenced = tell_keeper, busy, on_fenced
        self.left_unsettled = False
        """Whether it was told to end and did, although its store did not answer any more."""
        self._length = int(lease.terms.lease * 1e9)
        self.margin, self.asked_for = self._length // 3, 0
        """Nanoseconds before the end of the lease at which this worker tries to put it off by itself, and the end for which it has."""
        self.board, self.on_board = 0, _nothing
        """The version of the queue's notice board that was read, and what reads it: it is given what was just settled, what
        was leased before, and the answer.
        """
        self.leased: Sequence[Delivery] = ()
        """What was leased last."""
        self._lost_since: float | None = None
        self._throttle = log.Throttle()
        self._poll = select.poll()
        self._poll.register(wake, select.POLLIN)

    # Asking

    def exchange(
        self,
        settlements: Sequence[Settlement],
        limit: int,
        nothing: bool,
        effects: Mapping[int, Sequence[Effect]] = NO_EFFECTS,
    ) -> Taken | None:
        """One exchange, repeated under the same turn until it is answered; None if this consumer was refused."""
        lease, words = self.lease, self.words
        lease.turn += 1
        if limit:
            words[page.BASE], words[page.LAST] = lease.next, lease.next + limit - 1
        words[page.TURN] = lease.turn
        ask = partial(lease.exchange, settlements, limit, nothing)
        taken: Taken | None = self.insist(partial(ask, effects=effects) if effects else ask)
        if taken is not None:
            before = self.leased
            if taken.deliveries:
                self.leased = taken.deliveries
                lease.next = taken.deliveries[-1].receipt + 1
                words[page.LAST] = lease.next - 1
                if words[page.DOZING]:
                    self.page.wake_watcher()
            elif limit:
                words[page.LAST] = lease.next - 1  # nothing: the page says so to a supervisor that wants to doze
            if taken.board != self.board:
                self.on_board(settlements, before, taken)
        return taken

    def insist(self, ask: Callable[[], Any]) -> Any:
        """Ask the store until it answers; None if it refused this consumer."""
        pause = Pause(0.05, 1.0)
        while True:
            try:
                answer = ask()
            except Fenced:
                self._fenced()
                return None
            except StoreUnavailable as error:
                self.unreachable(error)
                self.sleep(pause())
                continue
            if self._lost_since is not None:
                seconds = round(time.monotonic() - self._lost_since, 1)
                log.event(logging.WARNING, "connector.recovered", seconds=seconds)
                self._lost_since, self._throttle = None, log.Throttle()
            return answer

    def unreachable(self, error: StoreUnavailable) -> None:
        """Say that the store does not answer; a worker that was told to end, and runs nothing, ends."""
        self._lost_since = self._lost_since or time.monotonic()
        if self._throttle() is not None:
            log.event(logging.ERROR, "connector.lost", error=str(error), queue=self.lease.queue)
        if self.words[page.ORDERS] & page.STOP and not self._busy():
            # What is unsettled stands on the page; the keeper settles it and gives back the rest after our end.
            self.left_unsettled = True
            raise SystemExit(0)

    def sleep(self, seconds: float) -> None:
        """Sleep, but wake for the wake-up descriptor, and clear it."""
        if self._poll.poll(seconds * 1000):
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self.wake_fd)

    # The identity and its end

    def join(self) -> bool:
        """Make this consumer known, on the page first (R1); False if it was refused."""
        lease = self.lease
        self.words[page.FIRST] = lease.next
        self.page.join(0, lease.queue, lease.consumer, lease.next)
        sent = page.now()
        if self.insist(lease.join) is None:
            return False
        self.words[page.LEASE_UNTIL] = sent + self._length  # R7
        self.tell_keeper()
        return True

    def _fenced(self) -> None:
        """Taken for dead: nothing is written any more under this identity, and the next joins anew (R1)."""
        lease = self.lease
        log.event(logging.WARNING, "lease.lost", queue=lease.queue, consumer=lease.consumer)
        self._on_fenced()
        lease.next = max(lease.next, self.words[page.LAST] + 1)
        with contextlib.suppress(StoreUnavailable):
            # R1: what the old identity still holds returns uncounted; nothing is said of what was done.
            lease.connector.release(lease.queue, lease.consumer, (), {}, close=True)
        lease.renew_identity()

    def renewed(self) -> bool:
        """Whether the lease has nothing against a start; else this has tried what can be done, and all is to be looked at again.

        Its keeper renews four times in a lease. If a third is left, it has not begun yet, or is held up: the worker tries once
        by itself, and if that fails, what is leased may start until the lease has passed. Then the store itself is asked (R7).
        """
        until, sent = self.words[page.LEASE_UNTIL], page.now()
        if sent >= until - self.margin and until != self.asked_for:
            self.asked_for = until
            with contextlib.suppress(StoreUnavailable):
                self._renewed(sent, self.lease.renew())
            return False
        if sent >= until:
            self._renewed(sent, self.insist(self.lease.renew))
            return False
        return True

    def _renewed(self, sent: int, answer: bool | None) -> None:
        if answer:
            self.words[page.LEASE_UNTIL] = sent + self._length  # R7
        elif answer is False:
            self._fenced()


def new_consumer() -> str:
    """An identity that is never used again."""
    return f"{os.uname().nodename[:20]}.{os.getpid()}.{os.urandom(8).hex()}"
