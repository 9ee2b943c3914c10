"""The lease: what one exchange and one release do to a queue. The rules R1 to R18 are those of `docs/guarantees.md`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from regiment.contracts import Again, Back, Dead, Done, Park, Settlement, Span
from regiment_local.memory import taking
from regiment_local.memory.queue import Queue
from regiment_local.memory.tasks import Consumer


def nothing(taken: list[int]) -> None:
    """Nothing is left by what was taken."""


def settle_and_lease(
    queue: Queue,
    me: Consumer,
    base: int,
    settlements: Sequence[Settlement],
    limit: int,
    max_bytes: int,
    holds_nothing: bool,
    leave: Callable[[list[int]], None],
) -> None:
    """One turn of `me`: settle, leave the effects of what was taken, take back from the overdue, make ready what is due,
    lease the next batch.
    """
    before = len(queue.ready)
    me.lost = []
    taken: list[int] = []
    for settlement in settlements:
        taken += settle(queue, me, settlement)
    leave(taken)
    if holds_nothing:
        queue.give_back(me.held.values())
        me.held.clear()
    queue.take_back(me)
    queue.promote()
    returned = len(queue.ready) > before
    if queue.flow is not None:
        taking.take(queue, queue.flow, me, base, limit, max_bytes)
        if returned or queue.flow.opened:
            queue.call_ready()
        return
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


def settle(queue: Queue, me: Consumer, settlement: Settlement) -> list[int]:
    """One settlement; receipts that `me` does not hold are noted as lost. The receipts that have effects now (E1)."""
    taken: list[int] = []
    if isinstance(settlement, (Done, Back)):
        for receipt in range(settlement.first, settlement.last + 1):
            entry = me.held.pop(receipt, None)
            if entry is None:
                if not (isinstance(settlement, Done) and receipt in me.settled):
                    me.lost.append(receipt)
                me.settled.discard(receipt)
            elif isinstance(settlement, Back):
                if queue.flow is not None:
                    queue.flow.spend(entry, -1)
                queue.give_back([entry])
            else:
                queue.ended(entry)
                taken.append(receipt)
        return taken
    entry = me.held.pop(settlement.receipt, None)
    if entry is None:
        me.lost.append(settlement.receipt)
        return []
    if isinstance(settlement, Dead):
        kept = entry.payload if settlement.payload is None else settlement.payload
        queue.letters.bury(kept, settlement.task_id, settlement.reason, entry, me.terms)
        queue.ended(entry)
    else:
        now = time.time()
        if isinstance(settlement, Again):
            entry.payload, entry.count, entry.note, entry.parked = settlement.payload, 0, None, None
            entry.priority = entry.priority if settlement.priority is None else settlement.priority
        elif isinstance(settlement, Park) and entry.parked is None:
            entry.parked = now
        entry.since = now
        queue.put_off(entry, now + settlement.delay)
    return [] if isinstance(settlement, Park) else [settlement.receipt]


def release(
    queue: Queue, of: Consumer, done: Sequence[Span], suspects: Mapping[int, bytes], only: Span | None
) -> list[int]:
    """Settle what is `done`, and give the rest back, or of it what lies in `only`; suspects are counted and delayed.
    The receipts that this step has settled.
    """
    taken: list[int] = []
    for first, last in done:
        for receipt in [r for r in of.held if first <= r <= last]:
            queue.ended(of.held.pop(receipt))
            of.settled.add(receipt)
            taken.append(receipt)
    for receipt in [r for r in of.held if only is None or only[0] <= r <= only[1]]:
        entry = of.held.pop(receipt)
        if receipt in suspects:
            entry.count += 1
            entry.note = suspects[receipt] or entry.note  # R18: empty bytes keep the old one
            delays = of.terms.poison_delays or (0.0,)
            delay = delays[min(entry.count, len(delays)) - 1]
            if delay > 0:
                queue.put_off(entry, time.time() + delay)
                continue
        queue.give_back([entry])
    return taken
