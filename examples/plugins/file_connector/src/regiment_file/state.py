"""The rules of the contract in plain Python: what a queue is, with nothing of a store in it.

Here they run on lists and dicts, so that they can be read. In your store they become scripts, statements, transactions;
the docstrings of `regiment.contracts.Connector` are the final word.
"""

from __future__ import annotations

import time
from bisect import insort
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from regiment.contracts import Again, Back, Dead, Delivery, Done, Letter, Park, Settlement, Terms

TAKEN_BACK = 1000
"""Most deliveries that one exchange takes back from overdue consumers."""

now = time.time
"""The store's clock. Put yours here: workers on other hosts have other clocks."""


@dataclass(eq=False)
class Entry:
    """One task. `order` is its place within its priority, which it keeps while it is on lease."""

    payload: bytes
    priority: int
    since: float
    uid: str | None = None
    order: int = 0
    count: int = 0
    note: bytes | None = None
    parked: float | None = None
    due: float = 0.0

    def place(self) -> tuple[int, int]:
        return self.priority, self.order

    def time(self) -> tuple[float, int]:
        return self.due, self.order

    def delivery(self, receipt: int) -> Delivery:
        parked = 0.0 if self.parked is None else now() - self.parked
        return Delivery(receipt, self.payload, self.count, self.note, parked)


@dataclass(eq=False)
class Consumer:
    """One consumer: until when it lives, its last turn with the answer, and what it holds by receipt."""

    terms: Terms
    deadline: float
    state: str = "living"  # or "fenced", "closed"
    turn: int = 0
    base: int = 0
    lost: list[int] = field(default_factory=list)
    held: dict[int, Entry] = field(default_factory=dict)
    settled: set[int] = field(default_factory=set)
    """What `release` settled for it: not lost when it settles that again."""
    told: tuple[float | None, int] | None = None
    """What its last exchange, if that came back empty, told of the next due time and of the board."""


class Queue:
    """One queue: `ready` in the order in which it runs, `delayed` by due time."""

    def __init__(self) -> None:
        self.ready: list[Entry] = []
        self.delayed: list[Entry] = []
        self.consumers: dict[str, Consumer] = {}
        self.letters: dict[str, Letter] = {}
        self.tokens: dict[str, tuple[float, list[int]]] = {}
        self.ids: dict[str, float] = {}
        self.version, self.paused, self.cancelled = 0, False, set[str]()
        self.stamp = now()
        self.orders = self.deaths = 0

    def named(self) -> bool:
        """Whether there is anything here that makes it a queue worth naming."""
        living = any(one.state == "living" or one.held for one in self.consumers.values())
        return bool(self.ready or self.delayed or self.letters or self.version or living)

    def entries(self) -> Iterator[Entry]:
        """Every task that waits or runs."""
        yield from self.ready
        yield from self.delayed
        for consumer in self.consumers.values():
            yield from consumer.held.values()

    # moving tasks

    def append(self, entry: Entry) -> None:
        """Ready, at the tail of its priority."""
        self.orders += 1
        entry.order = self.orders
        insort(self.ready, entry, key=Entry.place)

    def give_back(self, entries: Iterable[Entry]) -> None:
        """Ready, at the place they had."""
        for entry in entries:
            insort(self.ready, entry, key=Entry.place)

    def put_off(self, entry: Entry, due: float) -> None:
        """Ready once it is due."""
        self.orders += 1
        entry.due, entry.order = due, self.orders
        insort(self.delayed, entry, key=Entry.time)

    def promote(self) -> None:
        """Make ready what is due."""
        while self.delayed and self.delayed[0].due <= now():
            entry = self.delayed.pop(0)
            entry.since = entry.due
            self.append(entry)

    def lease(self, me: Consumer, base: int, limit: int, max_bytes: int) -> None:
        """Up to `limit` ready ones, and no more bytes than asked for, but at least one."""
        size = 0
        for receipt in range(base, base + limit):
            if not self.ready or self.paused:
                return
            size += len(self.ready[0].payload)
            if size > max_bytes and receipt > base:
                return
            me.held[receipt] = self.ready.pop(0)

    def settle(self, me: Consumer, settlements: Sequence[Settlement]) -> None:
        """What became of what it held; a receipt that it does not hold is lost, and nothing is done for it."""
        me.lost = []
        for one in settlements:
            if isinstance(one, (Done, Back)):
                receipts = range(one.first, one.last + 1)
            else:
                receipts = range(one.receipt, one.receipt + 1)
            for receipt in receipts:
                entry = me.held.pop(receipt, None)
                if entry is not None:
                    self._settle(me, entry, one)
                elif not (isinstance(one, Done) and receipt in me.settled):
                    me.lost.append(receipt)

    def _settle(self, me: Consumer, entry: Entry, one: Settlement) -> None:
        match one:
            case Back():
                self.give_back([entry])
            case Again(_, payload, delay, priority):
                entry.payload, entry.count, entry.note, entry.parked = payload, 0, None, None
                entry.priority = entry.priority if priority is None else priority
                entry.since = now()
                self.put_off(entry, now() + delay)
            case Park(_, delay):
                entry.parked = now() if entry.parked is None else entry.parked
                self.put_off(entry, now() + delay)
            case Dead(_, task_id, reason, payload):
                self.deaths += 1
                kept, id = entry.payload if payload is None else payload, str(self.deaths)
                self.letters[id] = Letter(id, task_id, kept, reason, now(), entry.priority)
                for old in list(self.letters.values()):
                    if len(self.letters) > me.terms.dead_limit or old.at < now() - me.terms.dead_age:
                        del self.letters[old.id]

    def release(self, of: Consumer, receipts: Sequence[int], suspects: dict[int, bytes]) -> None:
        """Give back what a consumer holds under these receipts; suspects are counted, and put off by the terms."""
        for receipt in receipts:
            entry = of.held.pop(receipt)
            delay = 0.0
            if receipt in suspects:
                entry.count += 1
                entry.note = suspects[receipt] or entry.note
                delays = of.terms.poison_delays or (0.0,)
                delay = delays[min(entry.count, len(delays)) - 1]
            if delay > 0:
                self.put_off(entry, now() + delay)
            else:
                self.give_back([entry])

    # consumers

    def close_gap(self, lease: float) -> None:
        """If nobody touched the queue for longer than a renewal takes, the store was away: all deadlines move by that."""
        gap, self.stamp = now() - self.stamp, now()
        if gap > lease / 3:
            for consumer in self.consumers.values():
                consumer.deadline += gap

    def overdue(self, me: Consumer) -> list[Consumer]:
        """Others whose lease has run out and who still hold something or count as living."""
        return [
            one
            for one in self.consumers.values()
            if one is not me and one.state != "closed" and one.deadline < now() and (one.held or one.state == "living")
        ]

    def take_back(self, me: Consumer) -> None:
        """Fence who is overdue, and take back what it holds, bounded."""
        room = TAKEN_BACK
        for consumer in self.overdue(me):
            consumer.state = "fenced"
            taken = list(consumer.held)[:room]
            for receipt in taken:
                consumer.held[receipt].count += 1
            self.release(consumer, taken, {})
            room -= len(taken)

    def next_due(self, me: Consumer) -> float | None:
        """When a task is due or another consumer overdue; None if nothing is known."""
        times = [entry.due for entry in self.delayed[:1]]
        times += [
            one.deadline for one in self.consumers.values() if one is not me and (one.state == "living" or one.held)
        ]
        return min(times, default=None)

    def wakes(self, me: Consumer | None) -> bool:
        """Whether an exchange would find something that this consumer's last one did not."""
        if me is None or me.told is None or me.state != "living":
            return True
        due, version = me.told
        earliest = self.next_due(me)
        leasable = self.ready or (self.delayed and self.delayed[0].due <= now()) or self.overdue(me)
        sooner = earliest is not None and (due is None or earliest < due - 0.001)
        return bool(leasable and not self.paused) or sooner or version != self.version


class State:
    """Everything that a store holds."""

    def __init__(self) -> None:
        self.queues: dict[str, Queue] = {}
        self.keys: dict[str, tuple[bytes, float | None]] = {}
        self.locks: dict[str, tuple[str, float]] = {}
        self.presence: dict[str, tuple[bytes, float]] = {}

    def queue(self, name: str) -> Queue:
        """The queue, which is made if it is absent."""
        return self.queues.setdefault(name, Queue())

    def look(self, name: str) -> Queue:
        """The queue, or an empty one that nobody keeps."""
        return self.queues.get(name) or Queue()
