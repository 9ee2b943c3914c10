"""The breaker of a pool: a record beside the queue that all workers share, which says what ended how, and whether it is closed to leases.

It takes three things that a store has: the record is changed by version, so of many workers one trips it; the gate of the pool is
closed for a time, never for good, so it opens though every worker is killed; and while it is tripped the pool has `at_once=1`. What runs
is what is leased (L1), so there is one probe, and one that is killed gives its place to the next with its task.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any, Literal, NamedTuple

from regiment.contracts import FOREVER, Keep, Rule, Spot, When
from regiment.task import new_id
from regiment_limits.ruling import probing, put

TRIES = 8
"""So often an end is told anew, if others tell theirs at the same time."""
ONE_AT_A_TIME = "breaker: one at a time"
"""Who made the rule of a pool that has tripped."""
BACK = 1.0
"""Seconds before a pause began by which a clock is taken for set back: the end of that pause then says nothing."""
KEPT = 2
"""The record of one that has not tripped is kept for so many times the longest of its times."""
Did = Literal["counted", "tripped", "again", "healed"]


class State(NamedTuple):
    """What the record says. Times are the store's wall clock."""

    since: float = 0.0
    """When the half window began that is counted now; the one before it is counted, too."""
    good: tuple[int, int] = (0, 0)
    bad: tuple[int, int] = (0, 0)
    """Ends of the half window before, and of this one."""
    until: float = 0.0
    """The end of the pause; 0: it has not tripped."""
    pause: float = 0.0

    @property
    def tripped(self) -> bool:
        """True from the first trip to the probe that succeeds."""
        return self.until > 0


def key_of(pool: str) -> str:
    """The key of its record."""
    return f"limits:breaker:{pool}"


def read(record: Any) -> State:
    """A record's state; that of a breaker that knows nothing for none, or for one that another release has written otherwise."""
    try:
        since, good, bad, until, pause = json.loads(record.value)
        return State(float(since), (int(good[0]), int(good[1])), (int(bad[0]), int(bad[1])), float(until), float(pause))
    except (AttributeError, ValueError, TypeError, IndexError, RecursionError):
        return State()


def counted(state: State, now: float, window: float, good: int, bad: int) -> State:
    """The state with so many ends more. What is older than the window counts no more; a clock that was set back begins anew."""
    half = window / 2
    age = now - state.since
    if age >= window or age < 0:
        state = State(since=now)
    elif age >= half:
        state = State(state.since + half, (state.good[1], 0), (state.bad[1], 0))
    return state._replace(good=(state.good[0], state.good[1] + good), bad=(state.bad[0], state.bad[1] + bad))


def after(state: State, now: float, started: float, good: int, bad: int, rule: Mapping[str, Any]) -> tuple[State, Did]:
    """What the record says next, and what that is: `good` and `bad` ends, of which the last one `started` then."""
    if not state.tripped:
        state = counted(state, now, rule["window"], good, bad)
        failed, all_ends = sum(state.bad), sum(state.bad) + sum(state.good)
        if bad and all_ends >= rule["least"] and failed >= rule["share"] * all_ends:
            return State(until=now + rule["pause"], pause=rule["pause"]), "tripped"
        return state, "counted"
    if started < state.until and now >= state.until - state.pause - BACK:
        return state, "counted"  # it was leased before, and says nothing about what is so now
    if bad:
        pause = min(2 * state.pause, rule["longest"])
        return State(until=now + pause, pause=pause), "again"
    return State(since=now), "healed"


def tell(
    store: Any,
    queue: str,
    pool: str,
    rule: Mapping[str, Any],
    mine: Rule | None,
    now: float,
    started: float,
    good: int,
    bad: int,
) -> tuple[State, Did, float]:
    """Tell the record of ends; the state, what it did, and the store's clock. `mine` is the pool's rule in this code."""
    spot: Spot = (pool, "")
    for _ in range(TRIES):
        (record,) = store.records(queue, [key_of(pool)])
        old = read(record)
        state, did = after(old, now, started, good, bad, rule)
        if did == "healed":  # first the rule: what is cut short here heals with the next success
            put(store, queue, pool, mine, lambda rule: rule, by="breaker: healed")
        if state == old:
            if bad and state.until > now:
                _shut(
                    store, queue, spot, mine, min(state.until - now, state.pause)
                )  # who tripped it may have died before it did this
            return state, did, now
        # Of one that has tripped the record stays: without it no success would say that all is as before.
        ttl = None if state.tripped else KEPT * max(rule["longest"], rule["window"])
        kept = Keep(key_of(pool), json.dumps(state).encode(), ttl)
        applied = store.apply(
            queue, [kept], token=new_id(), when=[When(key_of(pool), 0 if record is None else record.version)]
        )
        now = applied.now or now
        if applied.done:
            if did in ("tripped", "again"):
                _shut(store, queue, spot, mine, state.pause)
            return state, did, now
    return old, "counted", now


def tripped(store: Any, queue: str, pools: Collection[str]) -> list[str]:
    """Those of these pools whose breaker has tripped."""
    found = store.records(queue, [key_of(pool) for pool in pools]) if pools else ()
    return [pool for pool, record in zip(pools, found, strict=True) if read(record).tripped]


def _shut(store: Any, queue: str, spot: Spot, mine: Rule | None, seconds: float) -> None:
    """One at a time from now on, and none for so long. A gate that is closed for longer, or waits for somebody, stays so."""
    put(store, queue, spot[0], mine, probing, by=ONE_AT_A_TIME)
    (standing,) = store.flow(queue, [spot])
    if standing.gate < seconds and standing.gate != FOREVER:
        store.gate(queue, spot, seconds)
