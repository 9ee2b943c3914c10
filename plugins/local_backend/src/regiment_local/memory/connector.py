"""The verbs of the connector "memory", each one step under the lock of its store."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Final, Literal

from regiment.contracts import (
    Board,
    Counts,
    Delivery,
    Effect,
    Letter,
    Peeked,
    Settlement,
    Span,
    Taken,
    Terms,
)
from regiment.errors import Fenced
from regiment_local.entries import NONE as ENTERED_NOTHING
from regiment_local.memory import lease, looking
from regiment_local.memory.bell import Bell
from regiment_local.memory.charging import Charging
from regiment_local.memory.effective import Effective
from regiment_local.memory.effects import Step
from regiment_local.memory.history import History
from regiment_local.memory.ledger import Ledger
from regiment_local.memory.pushing import put
from regiment_local.memory.steering import Steering
from regiment_local.memory.tasks import CLOSED, LIVING, Consumer, Entry

NONE: Final[Mapping[int, Sequence[Effect]]] = MappingProxyType({})
UNCHANGED: Final[Mapping[str, str | None]] = MappingProxyType({})


class MemoryConnector(Effective, Steering, Charging, History, Ledger):
    """Tasks in the memory of this process, with the extras `effects`, `flow`, `history`, `ledger` and `steer`."""

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
        found = self._not_inside_itself()
        with found.lock:
            into, now = found.queue(queue), time.time()
            into.tokens = {t: seen for t, seen in into.tokens.items() if seen[0] > now}
            if token not in into.tokens:
                left_out = put(into, payloads, priority, delay, at, ids, id_window)
                into.tokens[token] = (now + token_window, left_out)
            return into.tokens[token][1]

    def wait(self, consumers: Sequence[tuple[str, str]], seconds: float, wake_fd: int | None = None) -> Sequence[str]:
        found, bell = self._store(), self._bell
        queues = [queue for queue, _ in consumers]
        ready = [queue for queue in queues if queue not in self._dues]
        if ready or bell is None:
            return ready
        dues = [due for queue in queues if (due := self._dues[queue]) is not None]
        left = min([seconds, *(due - time.monotonic() for due in dues)])
        bell.sleep(left, wake_fd)
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
        *,
        effects: Mapping[int, Sequence[Effect]] = NONE,
    ) -> Taken:
        found = self._changed()
        leave = partial(Step(found, queue, effects.values()).of, effects=effects) if effects else lease.nothing
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
                lease.settle_and_lease(into, me, base, settlements, limit, max_bytes, holds_nothing, leave)
                me.turn, me.base = turn, base
            deliveries = [
                Delivery(receipt, entry.payload, entry.count, entry.note, _parked(entry))
                for receipt, entry in me.held.items()
                if receipt >= me.base
            ]
            next_due = into.next_due(me)
            told = into.told(me, bool(deliveries) or limit <= 0, self._bell)
            if told is not None:
                left = max(0.0, told - time.monotonic())
                next_due = left if next_due is None else min(next_due, left)
            if deliveries:
                self._dues.pop(queue, None)
            elif limit > 0:
                if self._bell is None:
                    self._bell = Bell()
                into.wait_for(self._bell)
                if into.may_go(me):
                    next_due = 0.0
                self._dues[queue] = None if next_due is None else time.monotonic() + next_due
            return Taken(list(me.lost), deliveries, next_due, into.version)

    def release(
        self,
        queue: str,
        consumer: str,
        done: Sequence[Span],
        suspects: Mapping[int, bytes],
        *,
        only: Span | None = None,
        close: bool = False,
        effects: Mapping[int, Sequence[Effect]] = NONE,
    ) -> None:
        found = self._changed()
        step = Step(found, queue, effects.values())
        with found.lock:
            into = found.queue(queue)
            of = into.consumers.get(consumer)
            if of is None:
                if close:  # R5: a join that comes late is to find that it is over
                    into.consumers[consumer] = Consumer(Terms(), 0.0, CLOSED)
                return
            step.of(lease.release(into, of, done, suspects, only), effects)
            if close:
                of.state = CLOSED
            into.call_ready()

    # looking

    def counts(self, queue: str) -> Counts:
        with self._store().lock:
            return looking.counts(self._store().look(queue))

    def queues(self) -> Sequence[str]:
        with self._store().lock:
            return sorted(name for name, queue in self._store().queues.items() if queue.named())

    def peek(self, queue: str, state: Literal["ready", "delayed", "leased"], limit: int = 100) -> Sequence[Peeked]:
        with self._store().lock:
            return looking.peek(self._store().look(queue), state, limit)

    def purge(self, queue: str) -> int:
        with self._changed().lock:
            return looking.purge(self._store().queue(queue))

    def board(self, queue: str) -> Board:
        with self._store().lock:
            return looking.board(self._store().look(queue))

    def post(
        self,
        queue: str,
        *,
        paused: bool | None = None,
        cancel: Iterable[str] = (),
        clear: Iterable[str] = (),
        orders: Mapping[str, str | None] = UNCHANGED,
    ) -> int:
        with self._changed().lock:
            return looking.post(self._store().queue(queue), queue, paused, cancel, clear, orders)

    # dead letters

    def dead(self, queue: str, limit: int = 100, *, after: str | None = None) -> Sequence[Letter]:
        with self._store().lock:
            return self._store().look(queue).letters.newest(limit, after)

    def letters(self, queue: str, id: str) -> Sequence[Letter]:
        with self._store().lock:
            return self._store().look(queue).letters.find(id)

    def revive(self, queue: str, letters: Mapping[str, bytes | None]) -> int:
        with self._changed().lock:
            of, revived = self._store().queue(queue), 0
            for id, payload in letters.items():
                ticket, ledger = of.letters.tickets.get(id), of.letters.ledgers.get(id, ENTERED_NOTHING)
                if ticket is not None and not of.flowing().keys.free(ticket):
                    continue
                letter = of.letters.take(id)
                if letter is not None:
                    kept = letter.payload if payload is None else payload
                    entry = Entry(kept, letter.priority, 0, time.time())
                    entry.ticket, entry.ledger = ticket, ledger
                    if ticket is not None and ticket.until == "done":
                        of.flowing().keys.claim(entry, ticket)
                    of.append(entry)
                    revived += 1
            if revived:
                of.call_ready()
            return revived

    def drop(self, queue: str, ids: Sequence[str] | None = None) -> int:
        with self._changed().lock:
            return self._store().queue(queue).letters.drop(ids)

    # values, locks, presence

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        self._changed().names.set(key, value, ttl)

    def get(self, key: str) -> bytes | None:
        return self._store().names.get(key)

    def delete(self, key: str) -> bool:
        return self._changed().names.delete(key)

    def lock_take(self, name: str, owner: str, ttl: float) -> bool:
        return self._changed().names.lock_take(name, owner, ttl)

    def lock_free(self, name: str, owner: str) -> bool:
        return self._changed().names.lock_free(name, owner)

    def lock_look(self, name: str) -> tuple[str, float] | None:
        return self._store().names.lock_look(name)

    def lock_wait(self, name: str, seconds: float) -> None:
        names = self._store().names
        if names.lock_look(name) is None:
            return
        bell = self._bell = self._bell or Bell()
        held = names.lock_call(name, bell)
        if held is None:
            return
        bell.sleep(min(seconds, held), None)
        names.forget(bell, name)

    def announce(self, key: str, value: bytes, ttl: float) -> None:
        self._changed().names.announce(key, value, ttl)

    def presence(self) -> Mapping[str, bytes]:
        return self._store().names.presence()


def _parked(entry: Entry) -> float:
    return 0.0 if entry.parked is None else time.time() - entry.parked
