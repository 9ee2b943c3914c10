"""`take`: tasks that a running task takes from a queue to work them off in one go.

They are leased by a consumer of their own, which stands on the page: the keeper renews it, and gives back what it holds if
the worker dies. They are done at the end of the block and go back, uncounted, if it raises. They are not revoked.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from regiment import log
from regiment import outcome as outcomes
from regiment.broker import Broker
from regiment.contracts import Back, Board, Connector, Dead, Delivery, Done, Park, Settlement, Terms
from regiment.contracts.effects import Effect
from regiment.errors import DecodeError, Fenced, Respawn, Stop, StoreUnavailable
from regiment.outcome import Outcome
from regiment.task import Task
from regiment_runner.shared import page
from regiment_runner.shared.page import Page
from regiment_runner.shared.pause import Pause
from regiment_runner.shared.record import packed
from regiment_runner.worker.admission import RUN, Bury, Decision, Judge, Wait, admit, beyond
from regiment_runner.worker.burying import Told, buried, id_of, tell_dead
from regiment_runner.worker.lease import Lease
from regiment_runner.worker.meant import meant
from regiment_runner.worker.tallying import DEAD, SUCCESS
from regiment_runner.worker.verdict import name_plugin, reason_of, was_struck

T = TypeVar("T")

MOST = 100_000
"""The most tasks of one take."""


class Desk:
    """Where the tasks of one worker take others; seven takes may be open at once."""

    def __init__(self, broker: Broker, sheet: Page, terms: Terms, tell_keeper: Callable[[], object]) -> None:
        self.broker, self.page, self.terms, self.tell_keeper = broker, sheet, terms, tell_keeper
        self.end: Callable[[bool], object] = lambda respawn: None
        """Ends this process (`respawn`), or all workers of its target."""
        self._lock = threading.Lock()
        self._places = list(range(page.JOINS - 1, 0, -1))
        self._connectors: list[Connector] = []
        self._boards: dict[str, Board] = {}

    def take(self, number: int, queue: str | None, told: Told) -> Taking:
        """Up to `number` tasks of `queue`, this worker's own by default; `told` hears of what is dead."""
        if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= MOST:
            raise ValueError(f"take: number is {number!r}; expected a whole number from 1 to {MOST:,}")
        return Taking(self, number, queue or self.broker.config.name, told)

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

    def cancelled(self, queue: str, version: int, connector: Connector) -> frozenset[str]:
        """What is to be cancelled in a queue whose notice board has this version now: read again only if that has changed."""
        known = self._boards.get(queue)
        if known is None or known.version != version:
            known = self._boards[queue] = connector.board(queue) if version else Board()
        return known.cancelled

    def close(self) -> None:
        """Close the connectors."""
        with self._lock:
            while self._connectors:
                self._connectors.pop().close()


class Taking:
    """One take: `with` or `async with` gives the list of tasks, which may be empty or shorter than asked for."""

    def __init__(self, desk: Desk, number: int, queue: str, told: Told) -> None:
        self._desk, self._number, self._queue, self._told = desk, number, queue, told

    def __enter__(self) -> list[Task]:
        desk = self._desk
        self._place, self._connector = desk.enter()
        self._lease = lease = Lease(self._connector, self._queue, desk.terms)
        self._spans: list[Done] = []
        self._names: list[str] = []
        self._handed: dict[int, Task] = {}
        try:
            desk.page.join(self._place, self._queue, lease.consumer, 1, self._number)
            self._insist(lease.join)
            desk.tell_keeper()
            lease.turn = 1
            taken = self._insist(lambda: lease.exchange((), self._number, True))
            self._cancelled = self._insist(lambda: desk.cancelled(self._queue, taken.board, self._connector))
            tasks, settled, effects = self._decoded(self._fit(taken.deliveries))
            if settled and self._exchange(settled, effects):
                self._count((None, DEAD) for one in settled if type(one) is Dead)
        except BaseException:
            self._close()
            raise
        return tasks

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None and self._spans and self._exchange(self._spans, self._left()):
                self._count((name, SUCCESS) for name in self._names)
        finally:
            self._close()

    async def __aenter__(self) -> list[Task]:
        import asyncio

        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        import asyncio

        await asyncio.to_thread(self.__exit__, kind, *rest)

    # Settling

    def _left(self) -> dict[int, Sequence[Effect]]:
        """What the plugins of this worker's queue leave behind for each that is done. What one raises ends the block (E12)."""
        if self._queue != self._told.config.name:
            return {}
        success = Outcome(outcomes.SUCCESS)
        left = {number: self._of(task, task.id, success, "done") for number, task in self._handed.items()}
        return {number: effects for number, effects in left.items() if effects}

    def _of(self, task: Task | None, task_id: str, outcome: Outcome, settles: str) -> list[Effect]:
        effects: list[Effect] = []
        for name, asked in self._told.effects:
            try:
                some = list(asked(task, task_id, outcome, settles))
                packed(some)  # raises for what no store can take
            except Exception as error:
                name_plugin(error, name)
                raise
            effects += some
        return effects

    def _exchange(
        self, settlements: Sequence[Settlement], effects: Mapping[int, Sequence[Effect]] | None = None
    ) -> bool:
        """True if the store has taken all of it."""
        self._lease.turn += 1
        try:
            lost = self._insist(lambda: self._lease.exchange(settlements, 0, False, effects)).lost
        except Fenced:
            lost = (0,)
        if lost:
            log.event(logging.WARNING, "lease.lost", queue=self._queue, consumer=self._lease.consumer)
        return not lost

    def _count(self, ends: Iterable[tuple[str | None, int]]) -> None:
        """Names and outcomes go into the tally of this worker, if they are of its queue."""
        if self._queue == self._told.config.name:
            for name, index in ends:
                self._told.tally.taken(name, index)

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
        pause, deadline = Pause(0.05, 1.0), time.monotonic() + seconds
        while True:
            try:
                return ask()
            except StoreUnavailable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(pause())

    # What was taken

    def _fit(self, deliveries: Sequence[Delivery]) -> Sequence[Delivery]:
        """What may be done together; the others go back.

        One that was killed, at its time limit or as cancelled, waits for an attempt of its own, which judges it (`on_timeout`, its
        retries; `on_cancel`).
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

    def _decoded(
        self, deliveries: Sequence[Delivery]
    ) -> tuple[list[Task], list[Settlement], dict[int, Sequence[Effect]]]:
        """The tasks, and what becomes of deliveries that are not to run, and is left behind by them."""
        config, codec, tasks = self._desk.broker.config, self._desk.broker.codec, []
        settled: list[Settlement] = []
        effects: dict[int, Sequence[Effect]] = {}
        for delivery in deliveries:
            task: Task | None = None
            decided: Decision | None = beyond(delivery, config)
            if decided is None:
                found: Task | DecodeError
                try:
                    found = task = codec.decode(delivery.payload, self._queue, delivery.count)
                except DecodeError as error:
                    found = error
                decided = admit(delivery, found, config, time.time())
            away = task is not None and (task.tags or (self._cancelled and meant(self._cancelled, task)))
            if decided is RUN and task is not None and away:
                # What plugins have marked is settled with what they leave behind, and what is cancelled tells `on_cancel`: it
                # waits for an attempt of its own.
                settled.append(Back(delivery.receipt, delivery.receipt))
            elif decided is RUN and task is not None:
                tasks.append(task)
                self._names.append(task.name)
                self._note(delivery.receipt)
                if self._told.effects:
                    self._handed[delivery.receipt] = task
            else:
                settled.append(self._settlement(delivery, task, decided))
                if left := self._unrun(delivery, task, decided, settled[-1]):
                    effects[delivery.receipt] = left
        return tasks, settled, effects

    def _settlement(self, delivery: Delivery, task: Task | None, decided: Decision) -> Settlement:
        """What becomes of a delivery that is not handed out; who wants to hear of a dead letter is told."""
        number = delivery.receipt
        if isinstance(decided, Wait):
            return Park(number, self._told.brake(decided.delay))
        if isinstance(decided, Bury):
            letter = buried(delivery, decided, self._queue)
        elif isinstance(decided, Judge) and decided.outcome.kind == outcomes.POISON and task is not None:
            text = decided.outcome.text
            log.event(logging.ERROR, "task.poison", reason=text, id=task.id, queue=self._queue)
            letter = Dead(number, task.id, reason_of(decided.outcome, task))
            if self._queue == self._told.config.name:
                self._on_dead(task, letter)
        elif isinstance(decided, Judge):
            return Back(number, number)  # an attempt of its own judges it
        else:
            log.event(logging.INFO, "task.expired", queue=self._queue, id=id_of(delivery.payload))
            return Done(number, number)
        tell_dead(self._told, letter)
        return letter

    def _unrun(
        self, delivery: Delivery, task: Task | None, decided: Decision | None, settlement: Settlement
    ) -> Sequence[Effect]:
        """What is left behind by one that is not handed out; nothing where a plugin raises."""
        if self._queue != self._told.config.name or not isinstance(settlement, (Done, Dead)):
            return ()
        outcome, settles = Outcome(outcomes.EXPIRED), "done"
        if isinstance(settlement, Dead):
            settles = "dead"
            if isinstance(decided, Judge):
                outcome = decided.outcome
            elif isinstance(decided, Bury):
                outcome = Outcome(decided.kind, text=decided.text, evidence=decided.evidence)
        try:
            return self._of(task, id_of(delivery.payload), outcome, settles)
        except BaseException as error:
            log.event(logging.ERROR, "effects.error", exc_info=error, queue=self._queue, id=id_of(delivery.payload))
            return ()

    def _on_dead(self, task: Task, letter: Dead) -> None:
        """The worker's own hook, where it can be called from here: a coroutine function not from its own loop."""
        hook = self._told.handlers.get("on_dead")
        if hook is None:
            return
        try:
            self._told.call(hook, task, json.loads(letter.reason))
        except (Stop, Respawn) as control:
            self._desk.end(isinstance(control, Respawn))
        except BaseException as error:
            log.event(logging.ERROR, "hook.error", exc_info=error, hook="on_dead", id=task.id)

    def _note(self, receipt: int) -> None:
        """One more that is done when the block is."""
        if self._spans and self._spans[-1].last == receipt - 1:
            self._spans[-1] = Done(self._spans[-1].first, receipt)
        else:
            self._spans.append(Done(receipt, receipt))
