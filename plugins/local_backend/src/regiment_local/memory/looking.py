"""What people see of a queue, and its notice board. Every function is called under the store's lock."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Literal

from regiment.contracts import Board, Counts, Peeked, steer
from regiment_local import places
from regiment_local.memory.queue import Queue
from regiment_local.memory.tasks import LIVING


def counts(of: Queue) -> Counts:
    """How many tasks wait, run and are dead."""
    oldest = max((time.time() - entry.since for entry in of.ready), default=None)
    leased = sum(len(consumer.held) for consumer in of.consumers.values())
    living = [c for c in of.consumers.values() if c.state == LIVING and c.deadline > time.monotonic()]
    return Counts(len(of.ready), len(of.delayed), leased, len(of.letters), oldest, len(living), of.paused)


def peek(of: Queue, state: Literal["ready", "delayed", "leased"], limit: int) -> list[Peeked]:
    """Tasks without leasing them."""
    now = time.time()
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


def purge(of: Queue) -> int:
    """Forget what waits; how many there were."""
    gone = of.ready + of.delayed
    of.ready.clear()
    of.delayed.clear()
    for entry in gone if of.flow is not None else ():
        of.ended(entry, away=True)
    return len(gone)


def board(of: Queue) -> Board:
    """The notices as they stand."""
    return Board(of.version, of.paused, frozenset(_standing(of)), dict(of.orders))


def post(
    of: Queue,
    name: str,
    paused: bool | None,
    cancel: Iterable[str],
    clear: Iterable[str],
    orders: Mapping[str, str | None],
) -> int:
    """Change the notices; the version that they have then. `StoreError`, and nothing changed, for too many."""
    before = (of.paused, set(of.cancelled), dict(of.orders))
    cancelled = _standing(of)
    standing = len(cancelled)
    cancelled.update(dict.fromkeys(cancel, time.time()))
    for id in clear:
        cancelled.pop(id, None)
    places.refuse_many(name, standing, len(cancelled))
    of.cancelled, of.paused = cancelled, of.paused if paused is None else paused
    of.orders = {who: what for who, what in {**of.orders, **orders}.items() if what is not None}
    if (of.paused, set(of.cancelled), of.orders) != before:
        of.version += 1
        of.call()
    return of.version


def _standing(of: Queue) -> dict[str, float]:
    """The cancelled ids whose time is not over."""
    oldest = time.time() - steer.NOTICE_AGE
    return {id: at for id, at in of.cancelled.items() if at > oldest}
