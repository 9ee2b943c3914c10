"""`take`: tasks that a running task takes from a queue to work them off in one go.

They are leased by a consumer of their own, which stands on the page: the keeper renews it, and gives back what it holds if
the worker dies. They are done at the end of the block and go back, uncounted, if it raises. They are not revoked.
"""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from regiment import log
from regiment import outcome as outcomes
from regiment.broker import Broker
from regiment.codec import read_head
from regiment.contracts import Back, Connector, Dead, Delivery, Done, Park, Settlement, Terms
from regiment.errors import DecodeError, Fenced, StoreUnavailable
from regiment.task import Task
from regiment_runner.shared import page
from regiment_runner.shared.page import Page
from regiment_runner.worker.lease import Lease
from regiment_runner.worker.verdict import was_struck

T = TypeVar("T")

MOST = 100_000
"""The most tasks of one take."""


class Desk:
    """Where the tasks of one worker take others; seven takes may be open at once."""

    def __init__(self, broker: Broker, sheet: Page, terms: Terms, tell_keeper: Callable[[], object]) -> None:
        self.broker, self.page, self.terms, self.tell_keeper = broker, sheet, terms, tell_keeper
        self._lock = threading.Lock()
        self._places = list(range(page.JOINS - 1, 0, -1))
        self._connectors: list[Connector] = []

    def take(self, number: int, queue: str | None) -> Taking:
        """Up to `number` tasks of `queue`, this worker's own by default."""
        if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= MOST:
            raise ValueError(f"take: number is {number!r}; expected a whole number from 1 to {MOST:,}")
        return Taking(self, number, queue or self.broker.config.name)

    def enter(self) -> tuple[int, Connector]:
        """A place on the page and a connector, for the length of one take."""
        with self._lock:
            if not self._places:
                raise RuntimeError(
                    f"{page.JOINS - 1} takes are open in this worker already; end one before the next begins"
                )
            place = self._places.pop()
            connector = self._connectors.pop() if self._connectors else None
        try:
            return place, connector or self.broker.open("lease")
        except BaseException:
            self.leave(place, None)
            raise

    def leave(self, place: int, connector: Connector | None) -> None:
        """Give both back."""
        with self._lock:
            self._places.append(place)
            if connector is not None:
                self._connectors.append(connector)

    def close(self) -> None:
        """Close the connectors."""
        with self._lock:
            while self._connectors:
                self._connectors.pop().close()


class Taking:
    """One take: `with` or `async with` gives the list of tasks, which may be empty or shorter than asked for."""

    def __init__(self, desk: Desk, number: int, queue: str) -> None:
        self._desk, self._number, self._queue = desk, number, queue

    def __enter__(self) -> list[Task]:
        desk = self._desk
        self._place, self._connector = desk.enter()
        self._lease = lease = Lease(self._connector, self._queue, desk.terms)
        self._spans: list[Done] = []
        try:
            desk.page.join(self._place, self._queue, lease.consumer, 1, self._number)
            self._insist(lease.join)
            desk.tell_keeper()
            lease.turn = 1
            taken = self._insist(lambda: lease.exchange((), self._number, True))
            tasks, settled = self._decoded(self._fit(taken.deliveries))
            if settled:
                self._exchange(settled)
        except BaseException:
            self._close()
            raise
        return tasks

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None and self._spans:
                self._exchange(self._spans)
        finally:
            self._close()

    async def __aenter__(self) -> list[Task]:
        import asyncio

        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        import asyncio

        await asyncio.to_thread(self.__exit__, kind, *rest)

    # Settling

    def _exchange(self, settlements: Sequence[Settlement]) -> None:
        self._lease.turn += 1
        try:
            lost = self._insist(lambda: self._lease.exchange(settlements, 0, False)).lost
        except Fenced:
            lost = (0,)
        if lost:
            log.event(logging.WARNING, "lease.lost", queue=self._queue, consumer=self._lease.consumer)

    def _close(self) -> None:
        """Give back what is still held, and end the consumer; a store that is away is left to the keeper's lease."""
        desk, lease = self._desk, self._lease
        try:
            self._insist(
                lambda: lease.connector.release(lease.queue, lease.consumer, (), {}, close=True),
                5.0,
            )
        finally:
            desk.page.leave(self._place)
            desk.leave(self._place, self._connector)

    def _insist(self, ask: Callable[[], T], seconds: float = float("inf")) -> T:
        """Ask until the store answers, at most so many seconds; a task's own time limit ends it as well."""
        pause, deadline = 0.05, time.monotonic() + seconds
        while True:
            try:
                return ask()
            except StoreUnavailable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(1.0, pause * 2)

    # What was taken

    def _fit(self, deliveries: Sequence[Delivery]) -> Sequence[Delivery]:
        """What may be done together; the others go back.

        One that was killed at its time limit waits for an attempt of its own, which judges it (`on_timeout`, its retries).
        One on its last try is taken alone, or its neighbors would be condemned with it.
        """
        most = self._desk.broker.config.max_deliveries
        fit = [one for one in deliveries if not was_struck(one.note)]
        last = next((one for one in fit if one.count == most - 1 and one.count), None)
        if last is not None:
            fit = [last]
        others = [one for one in deliveries if one not in fit]
        if others:
            self._exchange([Back(one.receipt, one.receipt) for one in others])
        return fit

    def _decoded(self, deliveries: Sequence[Delivery]) -> tuple[list[Task], list[Settlement]]:
        """The tasks, and what becomes of deliveries that are none."""
        config, tasks = self._desk.broker.config, []
        settled: list[Settlement] = []
        for delivery in deliveries:
            if delivery.count >= config.max_deliveries:
                text = f"ended its worker {delivery.count} times"
                settled.append(self._dead(delivery, outcomes.POISON, text))
                continue
            try:
                task = self._desk.broker.codec.decode(delivery.payload, self._queue, delivery.count)
            except DecodeError as error:
                settled.append(
                    Park(delivery.receipt, 1.0)
                    if error.parkable and delivery.parked < config.unknown_for
                    else self._dead(delivery, outcomes.UNREADABLE, str(error))
                )
                continue
            if task.expires is not None and time.time() >= task.expires:
                settled.append(Done(delivery.receipt, delivery.receipt))
            else:
                tasks.append(task)
                self._note(delivery.receipt)
        return tasks, settled

    def _note(self, receipt: int) -> None:
        """One more that is done when the block is."""
        if self._spans and self._spans[-1].last == receipt - 1:
            self._spans[-1] = Done(self._spans[-1].first, receipt)
        else:
            self._spans.append(Done(receipt, receipt))

    def _dead(self, delivery: Delivery, kind: str, text: str) -> Dead:
        try:
            task_id = read_head(delivery.payload).task_id
        except DecodeError:
            task_id = ""
        reason: dict[str, Any] = {"kind": kind, "error": text, "queue": self._queue, "name": ""}
        log.event(logging.ERROR, f"task.{kind}", reason=text, id=task_id, queue=self._queue)
        return Dead(delivery.receipt, task_id, json.dumps(reason).encode())
