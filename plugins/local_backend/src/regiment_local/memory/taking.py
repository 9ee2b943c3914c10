"""Leasing from a queue with budgets: turns, and what may go."""

from __future__ import annotations

from bisect import bisect_left

from regiment_local.memory.flow import Flow, held, spots_of
from regiment_local.memory.queue import Queue
from regiment_local.memory.tasks import LEASED, Consumer, Entry


def take(queue: Queue, flow: Flow, me: Consumer, base: int, limit: int, max_bytes: int) -> None:
    """Lease up to `limit` tasks for `me`, each from the lane whose turn it is."""
    if queue.paused or limit <= 0:
        return
    mine = held(me)
    size = 0
    for receipt in range(base, base + limit):
        found = flow.pick(me, mine)
        if found is None:
            break
        level, pool, lane = found
        entry = level.lines[pool, lane][0]
        size += len(entry.payload)
        if size > max_bytes and receipt > base:
            break
        flow.take(found, limit)
        del queue.ready[bisect_left(queue.ready, entry.place(), key=Entry.place)]
        me.held[receipt] = entry
        flow.move(entry, LEASED)
        flow.spend(entry, 1)
        mine.update(spots_of(entry.ticket))
