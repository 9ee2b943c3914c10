"""What a queue is, in plain Python: its tasks, its consumers, who waits. Every method is called under the store's lock."""

from __future__ import annotations

import time
from bisect import insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import ClassVar

from regiment.contracts import Applied, Met, Record
from regiment_local.memory.acts import Acts
from regiment_local.memory.bell import Bell
from regiment_local.memory.fleeting import Fleeting
from regiment_local.memory.flow import Flow
from regiment_local.memory.joins import Joins
from regiment_local.memory.letters import Letters
from regiment_local.memory.tasks import CLOSED, DELAYED, FENCED, GONE, LEASED, LIVING, READY, Consumer, Entry

TAKEN_BACK = 1000
"""Most deliveries that one exchange takes back from overdue consumers."""


@dataclass(eq=False)
class Waiter:
    """A consumer that found its queue empty; `known` is the earliest due time that it knows of."""

    bell: Bell
    known: float | None


class Queue:
    """One queue: `ready` in the order in which it runs, `delayed` by due time."""

    _orders: ClassVar[Iterator[int]] = count()

    def __init__(self) -> None:
        self.ready: list[Entry] = []
        self.delayed: list[Entry] = []
        self.consumers: dict[str, Consumer] = {}
        self.letters = Letters()
        self.records: Fleeting[tuple[Record, bool]] = Fleeting()
        """What is kept beside it; with each record whether it is listed."""
        self.joins = Joins()
        self.applied: Fleeting[Applied] = Fleeting()
        """Answers of `apply` by their tokens."""
        self.tokens: dict[str, tuple[float, list[int]]] = {}
        self.admitted: Fleeting[list[Met]] = Fleeting()
        """Answers of `admit` by their tokens."""
        self.flow: Flow | None = None
        """Its budgets, from the first ticket or rule on (L12)."""
        self.ids: dict[str, float] = {}
        self.version = 0
        self.paused = False
        self.cancelled: dict[str, float] = {}
        """Ids with the time (wall clock) of their last notice."""
        self.orders: dict[str, str] = {}
        self.acts = Acts()
        self.stamp = time.monotonic()
        self.waiters: dict[Bell, Waiter] = {}

    def named(self) -> bool:
        """Whether there is anything here that makes it a queue worth naming."""
        living = any(consumer.state == LIVING or consumer.held for consumer in self.consumers.values())
        return bool(self.ready or self.delayed or self.letters or self.version or living)

    # moving tasks

    def append(self, entry: Entry) -> None:
        """Ready, at the tail of its priority."""
        entry.order = next(self._orders)
        insort(self.ready, entry, key=Entry.place)
        if self.flow is not None:
            self.flow.move(entry, READY)

    def give_back(self, entries: Iterable[Entry]) -> None:
        """Ready, at the place they had."""
        for entry in entries:
            insort(self.ready, entry, key=Entry.place)
            if self.flow is not None:
                self.flow.move(entry, READY)

    def put_off(self, entry: Entry, due: float) -> None:
        """Ready at the time `due` (wall clock), or at once if that has passed."""
        entry.due, entry.order = due, next(self._orders)
        insort(self.delayed, entry, key=Entry.time)
        if self.flow is not None:
            self.flow.move(entry, DELAYED)
        self.call(due)

    def promote(self) -> bool:
        """Make ready what is due; whether there was any."""
        now, promoted = time.time(), False
        while self.delayed and self.delayed[0].due <= now:
            entry = self.delayed.pop(0)
            entry.since = entry.due
            self.append(entry)
            promoted = True
        return promoted

    def ended(self, entry: Entry, away: bool = False) -> None:
        """It was taken out of where it was, and is no more; `away`: by hand."""
        if self.flow is not None:
            self.flow.move(entry, GONE, away)

    def flowing(self) -> Flow:
        """Its budgets, which are made if there are none."""
        if self.flow is None:
            held = [entry for consumer in self.consumers.values() for entry in consumer.held.values()]
            self.flow = Flow(
                [(e, READY) for e in self.ready] + [(e, DELAYED) for e in self.delayed] + [(e, LEASED) for e in held]
            )
        return self.flow

    def entries(self) -> Iterator[Entry]:
        """Every task that waits or runs."""
        yield from self.ready
        yield from self.delayed
        for consumer in self.consumers.values():
            yield from consumer.held.values()

    # consumers

    def close_gap(self, lease: float) -> None:
        """R8: if nobody touched the queue for longer than a renewal takes, all deadlines move by that gap."""
        now = time.monotonic()
        if now - self.stamp > lease / 3:
            for consumer in self.consumers.values():
                if consumer.state == LIVING:
                    consumer.deadline += now - self.stamp
        self.stamp = now

    def take_back(self, me: Consumer) -> bool:
        """R6: fence overdue consumers and take back what they hold; whether there was any."""
        room = TAKEN_BACK
        for consumer in list(self.consumers.values()):
            if consumer is me or consumer.state == CLOSED or consumer.deadline >= time.monotonic():
                continue
            consumer.state = FENCED
            for receipt in list(consumer.held)[:room]:
                entry = consumer.held.pop(receipt)
                entry.count += 1
                self.give_back([entry])
                room -= 1
        return room < TAKEN_BACK

    def next_due(self, me: Consumer) -> float | None:
        """Seconds until a task is due or another consumer overdue."""
        times = [entry.due - time.time() for entry in self.delayed[:1]]
        times += [
            consumer.deadline - time.monotonic()
            for consumer in self.consumers.values()
            if consumer is not me and (consumer.state == LIVING or consumer.held)
        ]
        return max(0.0, min(times)) if times else None

    # waking

    def call(self, due: float | None = None) -> None:
        """Wake who waits; with `due`, those who know of nothing due earlier."""
        for waiter in list(self.waiters.values()):
            if due is None or waiter.known is None or waiter.known > due:
                del self.waiters[waiter.bell]
                waiter.bell.ring()

    def call_ready(self) -> None:
        """Wake who waits, if something ready may go; else one of them, if he is to be told when it may (L8)."""
        flow = self.flow
        if flow is None or flow.may_go():
            self.call()
        else:
            self._call_one(flow)

    def may_go(self, me: Consumer) -> bool:
        """True if there is something that this consumer may lease."""
        return not self.paused and (bool(self.ready) if self.flow is None else self.flow.may_go(me))

    def told(self, me: Consumer, leased: bool, bell: Bell | None) -> float | None:
        """After an exchange: the time (monotonic) that this consumer is told, if he is the one who is (L8)."""
        flow = self.flow
        if flow is None or self.paused:
            return None
        if not leased:
            return flow.tell(me)
        if bell is not None:
            self.waiters.pop(bell, None)
        flow.hand_over(me)
        self._call_one(flow)
        return None

    def _call_one(self, flow: Flow) -> None:
        """Wake one of those who wait if somebody is to be told when something may go."""
        if self.waiters and flow.to_be_told():
            flow.called = True
            self.waiters.pop(next(iter(self.waiters))).bell.ring()

    def wait_for(self, bell: Bell) -> None:
        """Have this bell rung when there is something to lease."""
        self.waiters[bell] = Waiter(bell, self.delayed[0].due if self.delayed else None)
