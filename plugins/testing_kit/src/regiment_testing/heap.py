"""What `capture` keeps tasks in: no store but a heap with a clock of its own, behind the verbs that pushers use."""

from __future__ import annotations

import heapq
import select
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from types import MappingProxyType
from typing import Any

from regiment.codec import Codec
from regiment.contracts import (
    EFFECTS,
    FLOW,
    LEDGER,
    Applied,
    Capabilities,
    Counts,
    Effect,
    Followed,
    Met,
    Record,
    Send,
    Tally,
    Ticket,
    When,
)
from regiment.task import PRIORITIES, Task
from regiment_testing.cutting import Cutter, step
from regiment_testing.left import Left
from regiment_testing.uniques import Uniques

_NAMES = {number: name for name, number in PRIORITIES.items()}


class Captured:
    """One pushed task, as its worker will see it.

    `delay` is the time in seconds from the push until it was due, `priority` the name of its priority, `by` the
    captured task that pushed it (None: the test did).
    """

    def __init__(self, task: Task, priority: int, delay: float) -> None:
        self.task, self.delay = task, delay
        self.id, self.queue, self.name, self.kwargs = task.id, task.queue, task.name, task.kwargs
        self.priority = _NAMES.get(priority, str(priority))
        self.by: Captured | None = None

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.kwargs.items())
        extra = f" in {self.delay:g} s" if self.delay else ""
        extra += f" with priority {self.priority}" if self.priority != "NORMAL" else ""
        return f'{self.name or self.queue}({arguments}) on "{self.queue}"{extra}'


class Entry:
    """A captured task on its way: where it waits, and since when. Times are those of the heap's clock."""

    def __init__(self, captured: Captured, payload: bytes, priority: int) -> None:
        self.captured, self.payload, self.priority = captured, payload, priority
        self.due = 0.0
        self.expires: float | None = None
        self.parked: float | None = None
        self.entered: dict[str, bytes] = {}
        """What its runs have entered (`once`)."""
        self.ticket = 0
        """Number of the place where it waits; 0 if it does not wait."""
        self.order = 0
        """Where it stands among those that are ready."""


class Heap:
    """Tasks of all queues in the order in which one worker of each queue would run them."""

    def __init__(self) -> None:
        self.now = 0.0
        self.lock = threading.RLock()
        self.pushed: list[Captured] = []
        self.entries: dict[tuple[str, str], Entry] = {}
        """(queue, task id) -> the waiting entry."""
        self.keys: dict[str, tuple[bytes, float]] = {}
        self.locks: dict[str, tuple[str, float]] = {}
        self.ids: dict[tuple[str, str], float] = {}
        self.codecs: dict[str, Codec] = {}
        """Queue -> how its own messages are read."""
        self.left = Left(lambda: self.now, self._send)
        """Records and joins."""
        self.uniques = Uniques(lambda: self.now)
        """Who has which key."""
        self.running: Entry | None = None
        """The task that runs now."""
        self.cutter: Cutter | None = None
        """What cuts it, if it is to be cut."""
        self._ready: dict[str, list[tuple[int, int, int, Entry]]] = {}
        self._later: dict[str, list[tuple[float, int, Entry]]] = {}
        self._tickets = count(1)
        self._fronts = count(-1, -1)

    def push(self, codec: Codec, send: Send) -> list[Met]:
        """Let the tasks of a push wait; what those met whose id was known, or whose key is held."""
        queue, met = send.queue, list[Met]()
        seconds = send.delay if send.at is None else max(0.0, send.at - time.time())
        with self.lock:
            for index, payload in enumerate(send.payloads):
                task = codec.decode(payload, queue)
                if send.ids is not None:
                    known, key = self.ids.get((queue, task.id)), (queue, task.id)
                    if key in self.entries or (known is not None and self.now - known < send.id_window):
                        met.append(Met(index, "known"))
                        continue
                captured = Captured(task, send.priority, seconds)
                entry = Entry(captured, payload, send.priority)
                if task.expires is not None:
                    entry.expires = self.now + task.expires - time.time()
                one = self._meet(index, entry, send.tickets[index], seconds) if send.tickets else None
                met += [] if one is None else [one]
                if one is not None and one.did == "kept":
                    continue
                if send.ids is not None:
                    self.ids[queue, task.id] = self.now
                self.pushed.append(captured)
                if one is None:
                    self.place(entry, seconds)
        return met

    def _meet(self, index: int, entry: Entry, ticket: Ticket, seconds: float) -> Met | None:
        """What a task meets that may have a key; the place of one that it replaces is its own then."""
        old, state = self.uniques.claim(entry, ticket)
        if old is None:
            return Met(index, "kept", *state) if state is not None else None
        met = Met(index, "replaced", old.captured.id, "ready" if old.due <= self.now else "delayed")
        self.remove(old)
        if old.due <= self.now:
            entry.priority = old.priority
            self.place(entry, order=old.order)
        else:
            due = self.now + seconds
            last = self.uniques.last(entry)
            self.place(entry, (min(due, last) if ticket.clash == "later" else min(due, old.due)) - self.now)
        return met

    def _send(self, send: Send) -> list[int]:
        codec = self.codecs.get(send.queue) or next(iter(self.codecs.values()))
        return [one.index for one in self.push(codec, send) if one.did != "replaced"]

    def place(self, entry: Entry, delay: float = 0.0, *, front: bool = False, order: int = 0) -> None:
        """Let an entry wait: in front, in the place `order`, or at the tail of its priority once it is due."""
        with self.lock:
            queue, ticket = entry.captured.queue, next(self._tickets)
            entry.due, entry.ticket = self.now + max(0.0, delay), ticket
            self.entries[queue, entry.captured.id] = entry
            if delay > 0:
                heapq.heappush(self._later.setdefault(queue, []), (entry.due, ticket, entry))
            else:
                order = entry.order = next(self._fronts) if front else order or ticket
                heap = self._ready.setdefault(queue, [])
                heapq.heappush(heap, (entry.priority, order, ticket, entry))

    def remove(self, entry: Entry) -> None:
        """Let an entry wait no longer."""
        with self.lock:
            entry.ticket = 0
            self.entries.pop((entry.captured.queue, entry.captured.id), None)

    def take(self, runs: Callable[[str], bool]) -> Entry | None:
        """Take the next due task of the queues for which `runs` is True."""
        with self.lock:
            self._promote()
            heads = []
            for queue in list(self._ready):
                heap = self._ready[queue]
                while heap and heap[0][3].ticket != heap[0][2]:
                    heapq.heappop(heap)
                if heap and runs(queue):
                    heads.append(heap[0])
            if not heads:
                return None
            entry = min(heads)[3]
            self.remove(entry)
            return entry

    def next_due(self, runs: Callable[[str], bool]) -> float | None:
        """When the next delayed task of those queues is due; None if there is none."""
        with self.lock:
            found = []
            for queue in list(self._later):
                heap = self._later[queue]
                while heap and heap[0][2].ticket != heap[0][1]:
                    heapq.heappop(heap)
                if heap and runs(queue):
                    found.append(heap[0][0])
            return min(found, default=None)

    def _promote(self) -> None:
        due: list[tuple[float, int, Entry]] = []
        for heap in self._later.values():
            while heap and heap[0][0] <= self.now:
                item = heapq.heappop(heap)
                if item[2].ticket == item[1]:
                    due.append(item)
        for at, _, entry in sorted(due, key=lambda item: item[:2]):
            self.place(entry)
            entry.due = at

    def waiting(self) -> Iterator[Entry]:
        """All waiting entries, the first due ones in front."""
        return iter(sorted(self.entries.values(), key=lambda entry: (entry.due, entry.ticket)))


class Port:
    """The connector of one captured broker: the verbs of a store that a pusher calls, answered by the heap."""

    capabilities = Capabilities(shared=False, durable=False, extras=frozenset({EFFECTS, FLOW, LEDGER}))

    def __init__(self, heap: Heap, codec: Codec) -> None:
        self._heap, self._codec = heap, codec

    def open(self, role: str) -> None: ...

    def close(self) -> None: ...

    def describe(self) -> str:
        return "regiment_testing.capture"

    def push(
        self,
        queue: str,
        payloads: Sequence[bytes],
        *,
        priority: int,
        delay: float = 0.0,
        at: float | None = None,
        token: str,
        ids: Sequence[str] | None = None,
        id_window: float = 3600.0,
        token_window: float = 60.0,
    ) -> list[int]:
        with step(self._heap.cutter, "push"):
            met = self._heap.push(self._codec, Send(queue, payloads, priority, delay, at, ids, id_window))
        return [one.index for one in met]

    def admit(
        self,
        queue: str,
        payloads: Sequence[bytes],
        tickets: Sequence[Ticket],
        *,
        priority: int,
        delay: float = 0.0,
        at: float | None = None,
        token: str,
        ids: Sequence[str] | None = None,
        id_window: float = 3600.0,
        token_window: float = 60.0,
    ) -> list[Met]:
        """Keys count here; pools, lanes and budgets do not, for one task runs at a time."""
        with step(self._heap.cutter, "push"):
            return self._heap.push(self._codec, Send(queue, payloads, priority, delay, at, ids, id_window, tickets))

    def enter(
        self, queue: str, consumer: str, receipt: int, entries: Mapping[str, bytes] = MappingProxyType({})
    ) -> Mapping[str, bytes] | None:
        """What the task that runs now has entered. Bounds are those of a store, and are not tested here."""
        done = next((id for id, value in entries.items() if value), "")  # an empty one says: begun
        with step(self._heap.cutter, f"once {done[:8]}" if done else "", number=False), self._heap.lock:
            running = self._heap.running
            if running is None or running.captured.queue != queue:
                return None
            running.entered.update(entries)
            return dict(running.entered)

    def counts(self, queue: str) -> Counts:
        heap = self._heap
        dues = [entry.due for (name, _), entry in heap.entries.items() if name == queue]
        ready = sum(due <= heap.now for due in dues)
        return Counts(ready=ready, delayed=len(dues) - ready)

    def purge(self, queue: str) -> int:
        found = [entry for (name, _), entry in self._heap.entries.items() if name == queue]
        for entry in found:
            self._heap.remove(entry)
            self._heap.uniques.ended(entry, gone=True)
        return len(found)

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        until = float("inf") if ttl is None else self._heap.now + ttl
        with step(self._heap.cutter, f"set {key}"):
            self._heap.keys[key] = (value, until)

    def get(self, key: str) -> bytes | None:
        value, until = self._heap.keys.get(key, (None, 0.0))
        return value if until > self._heap.now else None

    def delete(self, key: str) -> bool:
        with step(self._heap.cutter, f"delete {key}"):
            known = self.get(key) is not None
            self._heap.keys.pop(key, None)
            return known

    def lock_take(self, name: str, owner: str, ttl: float) -> bool:
        with self._heap.lock:
            seen = self.lock_look(name)
            if seen is not None and seen[0] != owner:
                return False
            self._heap.locks[name] = (owner, self._heap.now + ttl)
            return True

    def lock_free(self, name: str, owner: str) -> bool:
        with self._heap.lock:
            seen = self.lock_look(name)
            if seen is None or seen[0] != owner:
                return False
            del self._heap.locks[name]
            return True

    def lock_look(self, name: str) -> tuple[str, float] | None:
        owner, until = self._heap.locks.get(name, ("", 0.0))
        return (owner, until - self._heap.now) if until > self._heap.now else None

    def lock_wait(self, name: str, seconds: float) -> None:
        """Another thread of the test may free it: this verb waits in real time."""
        time.sleep(min(seconds, 0.02))

    def apply(
        self,
        queue: str,
        effects: Sequence[Effect],
        *,
        token: str,
        token_window: float = 60.0,
        when: Sequence[When] = (),
    ) -> Applied:
        with step(self._heap.cutter, "apply"), self._heap.lock:
            return self._heap.left.apply(queue, effects, token, when)

    def records(self, queue: str, keys: Sequence[str]) -> Sequence[Record | None]:
        with self._heap.lock:
            return [self._heap.left.record(queue, key) for key in keys]

    def listed(self, queue: str, limit: int = 100, *, after: str | None = None) -> Sequence[str]:
        with self._heap.lock:
            return self._heap.left.listed(queue, limit, after)

    def tallies(self, queue: str, joins: Sequence[str]) -> Sequence[Tally | None]:
        with self._heap.lock:
            return [self._heap.left.tally(queue, name) for name in joins]

    def follow(self, keys: Mapping[Followed, int], seconds: float = 60.0) -> Mapping[Followed, Record]:
        with self._heap.lock:
            return self._heap.left.follow(self, keys, seconds)

    def heard(self, seconds: float, wake_fd: int | None = None) -> Mapping[Followed, Record | None] | None:
        """Another thread of the test may keep it: this verb waits in real time."""
        until, poll = time.monotonic() + seconds, select.poll()
        if wake_fd is not None:
            poll.register(wake_fd, select.POLLIN)
        while True:
            with self._heap.lock:
                marks = self._heap.left.heard(self)
            rest = min(until - time.monotonic(), 0.02)
            if marks or rest <= 0 or poll.poll(rest * 1000):
                return marks

    def __getattr__(self, verb: str) -> Any:
        raise AttributeError(
            f"regiment_testing.capture has no store, so it cannot answer {verb!r}; look at q.pushed, q.waiting, q.dead"
        )
