"""The connector "memory": the contract of a connector in plain Python, in one process. To read, and for tests."""

from __future__ import annotations

import select
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

from regiment.contracts import (
    Again,
    Back,
    Board,
    Capabilities,
    Counts,
    Dead,
    Delivery,
    Done,
    Letter,
    Park,
    Peeked,
    Role,
    Settlement,
    Span,
    Taken,
    Terms,
)
from regiment.errors import Fenced, StoreError
from regiment_local.memory_store import (
    CLOSED,
    LIVING,
    Bell,
    Consumer,
    Entry,
    Queue,
    Store,
    store,
)


class MemoryConnector:
    """Tasks in the memory of this process; connectors of the same `name` (or URL `memory:NAME`) share one store."""

    capabilities: ClassVar[Capabilities] = Capabilities(shared=False, durable=False)

    def __init__(self, url: str | None = None, *, name: str = "") -> None:
        self.name = name if url is None else url.removeprefix("memory:").removeprefix("//")
        self._open: Store | None = None
        self._role: Role | None = None
        self._bell: Bell | None = None
        self._dues: dict[str, float | None] = {}

    def open(self, role: Role) -> None:
        self.close()
        self._open, self._role = store(self.name), role

    def close(self) -> None:
        if self._bell is not None:
            if self._open is not None:
                with self._open.lock:
                    for queue in self._open.queues.values():
                        queue.waiters.pop(self._bell, None)
                    for bells in self._open.lock_bells.values():
                        if self._bell in bells:
                            bells.remove(self._bell)
                    self._bell.close()
            self._bell = None
        self._open, self._dues = None, {}

    def describe(self) -> str:
        return f"memory:{self.name}"

    def _store(self) -> Store:
        if self._open is None:
            raise StoreError(f"{self.describe()} is not open; call open(role) first")
        return self._open

    def _changed(self) -> Store:
        found = self._store()
        if self._role == "look":
            raise StoreError(f"{self.describe()} was opened to look; nothing can be changed")
        return found

    # pushing and waiting

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
    ) -> Sequence[int]:
        if ids is not None and len(ids) != len(payloads):
            raise ValueError(f"{len(ids)} ids for {len(payloads)} payloads; expected one for each, or None")
        found = self._changed()
        if found.lock._is_owned():  # type: ignore[attr-defined]
            raise StoreError(
                f"{self.describe()}: a push inside of a push, by a signal handler or a __del__ that came in its middle; "
                "nothing was pushed. Note it in the handler, and push when it has returned"
            )
        with found.lock:
            into, now = found.queue(queue), time.time()
            into.tokens = {t: seen for t, seen in into.tokens.items() if seen[0] > now}
            if token in into.tokens:
                return into.tokens[token][1]
            due = at if at is not None else now + delay
            left_out: list[int] = []
            for index, payload in enumerate(payloads):
                id = ids[index] if ids is not None else None
                if id is not None:
                    waits = any(entry.uid == id for entry in into.entries())
                    if waits or into.ids.get(id, 0) > now:
                        left_out.append(index)
                        continue
                    into.ids[id] = now + id_window
                entry = Entry(bytes(payload), priority, 0, now, id)
                if due > now:
                    into.put_off(entry, due)
                else:
                    into.append(entry)
            into.tokens[token] = (now + token_window, left_out)
            if due <= now and len(left_out) < len(payloads):
                into.call()
            return left_out

    def wait(self, consumers: Sequence[tuple[str, str]], seconds: float, wake_fd: int | None = None) -> Sequence[str]:
        found, bell = self._store(), self._bell
        queues = [queue for queue, _ in consumers]
        ready = [queue for queue in queues if queue not in self._dues]
        if ready or bell is None:
            return ready
        dues = [due for queue in queues if (due := self._dues[queue]) is not None]
        left = min([seconds, *(due - time.monotonic() for due in dues)])
        _sleep(left, bell, wake_fd)
        with found.lock:
            bell.hush()
            called = [queue for queue in queues if bell not in found.look(queue).waiters]
        for queue in called:
            self._dues.pop(queue, None)
        now = time.monotonic()
        return called + [q for q in queues if (due := self._dues.get(q)) is not None and due <= now]

    # the lease

    def join(self, queue: str, consumer: str, terms: Terms) -> None:
        found = self._changed()
        with found.lock:
            into = found.queue(queue)
            known = into.consumers.get(consumer)
            if known is None:
                into.close_gap(terms.lease)
                into.consumers[consumer] = Consumer(terms, time.monotonic() + terms.lease)
            elif known.state != LIVING:
                raise Fenced(f"consumer {consumer} of {queue!r} was closed or taken for dead; join under a new name")

    def renew(self, consumers: Sequence[tuple[str, str]], seconds: float) -> Sequence[tuple[str, str]]:
        found, lost = self._changed(), []
        with found.lock:
            for name, consumer in consumers:
                queue = found.look(name)
                known = queue.consumers.get(consumer)
                if known is None or known.state != LIVING:
                    lost.append((name, consumer))
                    continue
                queue.close_gap(known.terms.lease)
                known.deadline = max(known.deadline, time.monotonic() + seconds)
        return lost

    def exchange(
        self,
        queue: str,
        consumer: str,
        turn: int,
        base: int,
        settlements: Sequence[Settlement],
        limit: int,
        max_bytes: int,
        holds_nothing: bool = False,
    ) -> Taken:
        found = self._changed()
        with found.lock:
            into = found.queue(queue)
            me = into.consumers.get(consumer)
            if me is None or me.state != LIVING:
                raise Fenced(f"consumer {consumer} of {queue!r} is unknown here, closed, or was taken for dead")
            if turn not in (me.turn, me.turn + 1) or turn == 0:
                raise Fenced(f"consumer {consumer} of {queue!r} sent turn {turn}; expected {me.turn} or {me.turn + 1}")
            if turn == me.turn + 1:  # R4; else the answer of that turn again
                if limit > 0 and me.held and base <= max(me.held):
                    raise ValueError(f"base is {base}; expected more than {max(me.held)}, which is held")
                into.close_gap(me.terms.lease)
                self._settle_and_lease(into, me, base, settlements, limit, max_bytes, holds_nothing)
                me.turn, me.base = turn, base
            deliveries = [
                Delivery(receipt, entry.payload, entry.count, entry.note, _parked(entry))
                for receipt, entry in me.held.items()
                if receipt >= me.base
            ]
            next_due = into.next_due(me)
            if deliveries:
                self._dues.pop(queue, None)
            elif limit > 0:
                if self._bell is None:
                    self._bell = Bell()
                into.wait_for(self._bell)
                if into.ready and not into.paused:
                    next_due = 0.0
                self._dues[queue] = None if next_due is None else time.monotonic() + next_due
            return Taken(list(me.lost), deliveries, next_due, into.version)

    def _settle_and_lease(
        self,
        queue: Queue,
        me: Consumer,
        base: int,
        settlements: Sequence[Settlement],
        limit: int,
        max_bytes: int,
        holds_nothing: bool,
    ) -> None:
        before = len(queue.ready)
        me.lost = []
        for settlement in settlements:
            _settle(queue, me, settlement)
        if holds_nothing:
            queue.give_back(me.held.values())
            me.held.clear()
        queue.take_back(me)
        queue.promote()
        returned = len(queue.ready) > before
        size = 0
        for receipt in range(base, base + limit):
            if not queue.ready or queue.paused:
                break
            size += len(queue.ready[0].payload)
            if size > max_bytes and receipt > base:
                break
            me.held[receipt] = queue.ready.pop(0)
        if returned and queue.ready:
            queue.call()

    def release(
        self,
        queue: str,
        consumer: str,
        done: Sequence[Span],
        suspects: Mapping[int, bytes],
        *,
        only: Span | None = None,
        close: bool = False,
    ) -> None:
        found = self._changed()
        with found.lock:
            into = found.queue(queue)
            of = into.consumers.get(consumer)
            if of is None:
                if close:  # R5: a join that comes late is to find that it is over
                    into.consumers[consumer] = Consumer(Terms(), 0.0, CLOSED)
                return
            for first, last in done:
                for receipt in [r for r in of.held if first <= r <= last]:
                    del of.held[receipt]
                    of.settled.add(receipt)
            for receipt in [r for r in of.held if only is None or only[0] <= r <= only[1]]:
                entry = of.held.pop(receipt)
                if receipt in suspects:
                    entry.count += 1
                    entry.note = suspects[receipt] or entry.note  # R18: empty bytes keep the old one
                    delays = of.terms.poison_delays or (0.0,)
                    delay = delays[min(entry.count, len(delays)) - 1]
                    if delay > 0:
                        into.put_off(entry, time.time() + delay)
                        continue
                into.give_back([entry])
            if close:
                of.state = CLOSED
            into.call()

    # looking

    def counts(self, queue: str) -> Counts:
        with self._store().lock:
            of = self._store().look(queue)
            oldest = max((time.time() - entry.since for entry in of.ready), default=None)
            leased = sum(len(consumer.held) for consumer in of.consumers.values())
            living = [c for c in of.consumers.values() if c.state == LIVING and c.deadline > time.monotonic()]
            return Counts(
                len(of.ready),
                len(of.delayed),
                leased,
                len(of.letters),
                oldest,
                len(living),
                of.paused,
            )

    def queues(self) -> Sequence[str]:
        with self._store().lock:
            return sorted(name for name, queue in self._store().queues.items() if queue.named())

    def peek(self, queue: str, state: Literal["ready", "delayed", "leased"], limit: int = 100) -> Sequence[Peeked]:
        with self._store().lock:
            of, now = self._store().look(queue), time.time()
            if state == "ready":
                seen = [Peeked(e.payload, state, e.priority, 0.0, e.count) for e in of.ready]
            elif state == "delayed":
                seen = [Peeked(e.payload, state, e.priority, max(0.0, e.due - now), e.count) for e in of.delayed]
            elif state == "leased":
                held = [(e, name) for name, consumer in of.consumers.items() for e in consumer.held.values()]
                held.sort(key=lambda pair: pair[0].place())
                seen = [Peeked(e.payload, state, e.priority, 0.0, e.count, name) for e, name in held]
            else:
                raise ValueError(f"state is {state!r}; expected 'ready', 'delayed' or 'leased'")
            return seen[: max(0, limit)]

    def purge(self, queue: str) -> int:
        with self._changed().lock:
            of = self._store().queue(queue)
            gone = len(of.ready) + len(of.delayed)
            of.ready.clear()
            of.delayed.clear()
            return gone

    def board(self, queue: str) -> Board:
        with self._store().lock:
            of = self._store().look(queue)
            return Board(of.version, of.paused, frozenset(of.cancelled))

    def post(
        self,
        queue: str,
        *,
        paused: bool | None = None,
        cancel: Iterable[str] = (),
        clear: Iterable[str] = (),
    ) -> int:
        with self._changed().lock:
            of = self._store().queue(queue)
            before = (of.paused, set(of.cancelled))
            of.paused = of.paused if paused is None else paused
            of.cancelled |= set(cancel)
            of.cancelled -= set(clear)
            if (of.paused, of.cancelled) != before:
                of.version += 1
                of.call()
            return of.version

    # dead letters

    def dead(self, queue: str, limit: int = 100, *, after: str | None = None) -> Sequence[Letter]:
        with self._store().lock:
            newest = list(reversed(self._store().look(queue).letters.values()))
            if after is not None:
                newest = [letter for letter in newest if int(letter.id) < int(after)]
            return newest[: max(0, limit)]

    def letters(self, queue: str, id: str) -> Sequence[Letter]:
        with self._store().lock:
            newest = reversed(self._store().look(queue).letters.values())
            return [letter for letter in newest if id in (letter.id, letter.task_id)]

    def revive(self, queue: str, letters: Mapping[str, bytes | None]) -> int:
        with self._changed().lock:
            of, revived = self._store().queue(queue), 0
            for id, payload in letters.items():
                letter = of.letters.pop(id, None)
                if letter is not None:
                    kept = letter.payload if payload is None else payload
                    of.append(Entry(kept, letter.priority, 0, time.time()))
                    revived += 1
            if revived:
                of.call()
            return revived

    def drop(self, queue: str, ids: Sequence[str] | None = None) -> int:
        with self._changed().lock:
            of = self._store().queue(queue)
            gone = list(of.letters) if ids is None else [id for id in dict.fromkeys(ids) if id in of.letters]
            for id in gone:
                del of.letters[id]
            return len(gone)

    # keys, locks, presence

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        with self._changed().lock:
            self._store().keys[key] = (value, None if ttl is None else time.monotonic() + ttl)

    def get(self, key: str) -> bytes | None:
        with self._store().lock:
            value, until = self._store().keys.get(key, (None, None))
            return value if until is None or until > time.monotonic() else None

    def delete(self, key: str) -> bool:
        with self._changed().lock:
            there = self.get(key) is not None
            self._store().keys.pop(key, None)
            return there

    def lock_take(self, name: str, owner: str, ttl: float) -> bool:
        with self._changed().lock:
            held = self.lock_look(name)
            if held is not None and held[0] != owner:
                return False
            self._store().locks[name] = (owner, time.monotonic() + ttl)
            return True

    def lock_free(self, name: str, owner: str) -> bool:
        with self._changed().lock:
            held = self.lock_look(name)
            if held is None or held[0] != owner:
                return False
            del self._store().locks[name]
            for bell in self._store().lock_bells.pop(name, []):
                bell.ring()
            return True

    def lock_look(self, name: str) -> tuple[str, float] | None:
        with self._store().lock:
            owner, until = self._store().locks.get(name, ("", 0.0))
            left = until - time.monotonic()
            return (owner, left) if left > 0 else None

    def lock_wait(self, name: str, seconds: float) -> None:
        with self._store().lock:
            held = self.lock_look(name)
            if held is None:
                return
            if self._bell is None:
                self._bell = Bell()
            self._store().lock_bells.setdefault(name, []).append(self._bell)
        _sleep(min(seconds, held[1]), self._bell, None)
        with self._store().lock:
            if self._bell in self._store().lock_bells.get(name, []):
                self._store().lock_bells[name].remove(self._bell)

    def announce(self, key: str, value: bytes, ttl: float) -> None:
        with self._changed().lock:
            self._store().presence[key] = (value, time.monotonic() + ttl)

    def presence(self) -> Mapping[str, bytes]:
        with self._store().lock:
            now = time.monotonic()
            return {key: value for key, (value, until) in self._store().presence.items() if until > now}


def _settle(queue: Queue, me: Consumer, settlement: Settlement) -> None:
    """One settlement; receipts that `me` does not hold are noted as lost."""
    if isinstance(settlement, (Done, Back)):
        for receipt in range(settlement.first, settlement.last + 1):
            entry = me.held.pop(receipt, None)
            if entry is None:
                if not (isinstance(settlement, Done) and receipt in me.settled):
                    me.lost.append(receipt)
                me.settled.discard(receipt)
            elif isinstance(settlement, Back):
                queue.give_back([entry])
        return
    entry = me.held.pop(settlement.receipt, None)
    if entry is None:
        me.lost.append(settlement.receipt)
    elif isinstance(settlement, Dead):
        queue.bury(entry, settlement.task_id, settlement.reason, settlement.payload, me.terms)
    else:
        now = time.time()
        if isinstance(settlement, Again):
            entry.payload, entry.count, entry.note, entry.parked = settlement.payload, 0, None, None
            entry.priority = entry.priority if settlement.priority is None else settlement.priority
        elif isinstance(settlement, Park) and entry.parked is None:
            entry.parked = now
        entry.since = now
        queue.put_off(entry, now + settlement.delay)


def _parked(entry: Entry) -> float:
    return 0.0 if entry.parked is None else time.time() - entry.parked


def _sleep(seconds: float, bell: Bell, wake_fd: int | None) -> None:
    poll: Any = select.poll()
    poll.register(bell.fd, select.POLLIN)
    if wake_fd is not None:
        poll.register(wake_fd, select.POLLIN)
    poll.poll(0 if seconds <= 0 else min(int(seconds * 1000) + 1, 2**31 - 1))
