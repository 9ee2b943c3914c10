"""Budgets of one queue: what waits and runs, rules, rates and gates, and which task goes next. Only a queue that has seen a
ticket or a rule has this (L12). Every method is called under the store's lock.
"""

from __future__ import annotations

import time
from bisect import insort
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Final

from regiment.contracts import FOREVER, Rule, Spot, Standing, Ticket
from regiment_local.flow.spots import since
from regiment_local.memory.rings import Level, Ring
from regiment_local.memory.tasks import DELAYED, GONE, LEASED, LIVING, READY, Consumer, Entry
from regiment_local.memory.uniques import Keys

QUEUE: Final[Spot] = ("", "")


@dataclass(eq=False)
class Budget:
    """One spot. `gate` and `tat` (the theoretical arrival time of GCRA, L6) are monotonic times."""

    ready: int = 0
    delayed: int = 0
    leased: int = 0
    gate: float = 0.0
    tat: float = 0.0
    rules: dict[bool, tuple[Rule, str]] = field(default_factory=dict)
    """By whether it is an operator's; with what is kept beside it."""

    def idle(self, now: float) -> bool:
        """True if nothing is lost when it is forgotten."""
        return not (self.ready or self.delayed or self.leased or self.rules or self.gate > now or self.tat > now)


class Flow:
    """The budgets, the lanes and the keys of one queue."""

    def __init__(self, tasks: Iterable[tuple[Entry, str]]) -> None:
        self.keys = Keys()
        self.budgets: dict[Spot, Budget] = {}
        self.opened = False
        """True if something may go, perhaps, that might not before; until somebody was called for it."""
        self.watcher: tuple[Consumer, float] | None = None
        """Who was told when the next gate opens (L8)."""
        self.called = False
        """True if somebody was woken to be told."""
        self._shut = False
        """True if the queue itself was found closed."""
        self._levels: dict[int, Level] = {}
        self._when: dict[Spot, float] = {}
        self._times: list[tuple[float, Spot]] = []
        """When to look again at which spot, the earliest first; one that `_when` does not have counts for nothing."""
        for entry, where in tasks:
            entry.where = GONE
            self.move(entry, where)

    # counting

    def move(self, entry: Entry, to: str, away: bool = False) -> None:
        """A task is somewhere else now, and counted there: in the one step that moves it (L1). `away`: it was deleted by hand."""
        was, entry.where = entry.where, to
        spots = spots_of(entry.ticket)
        if was == READY:
            self._leave(entry)
        for spot in spots:
            budget = self._budget(spot)
            for where, more in ((was, -1), (to, 1)):
                if where:
                    setattr(budget, where, getattr(budget, where) + more)
        if to == READY:
            self._stand(entry)
        if was == LEASED:
            for spot in spots:
                self.refresh(spot)
        if to == LEASED:
            self.keys.started(entry)
        elif to == GONE:
            self.keys.ended(entry, away)
        for spot in spots:
            self._tidy(spot)

    def _stand(self, entry: Entry) -> None:
        pool, lane = lane_of(entry)
        level = self._levels.setdefault(entry.priority, Level())
        entry.stands = (entry.priority, pool, lane)
        insort(level.lines.setdefault((pool, lane), []), entry, key=lambda one: one.order)
        self._turn(level, pool, lane)

    def _leave(self, entry: Entry) -> None:
        priority, pool, lane = entry.stands
        level = self._levels[priority]
        line = level.lines[pool, lane]
        line.remove(entry)
        if not line:
            level.forget(pool, lane)
            if not level.lines:
                del self._levels[priority]

    def _budget(self, spot: Spot) -> Budget:
        return self.budgets.setdefault(spot, Budget())

    def _tidy(self, spot: Spot) -> None:
        budget, now = self.budgets.get(spot), time.monotonic()
        if budget is None:
            return
        if budget.idle(now):
            del self.budgets[spot]
        elif not (budget.ready or budget.delayed or budget.leased or budget.rules or budget.gate == FOREVER):
            self._look_again(spot, max(budget.gate, budget.tat))

    def _look_again(self, spot: Spot, when: float) -> None:
        if self._when.get(spot) != when:
            self._when[spot] = when
            heappush(self._times, (when, spot))

    # rules and gates

    def rule(self, spot: Spot) -> Rule | None:
        """The rule that holds (L11)."""
        own = self.own(spot)
        if own is None and spot[1]:
            of_pool = self.own((spot[0], ""))
            return None if of_pool is None else of_pool[0].lanes
        return None if own is None else own[0]

    def own(self, spot: Spot) -> tuple[Rule, str, bool] | None:
        """The spot's own rule, what is kept beside it, and whether it is an operator's."""
        budget = self.budgets.get(spot)
        for operator in (True, False):
            if budget is not None and operator in budget.rules:
                return (*budget.rules[operator], operator)
        return None

    def set_rule(self, spot: Spot, rule: Rule | None, operator: bool, by: str) -> None:
        budget = self._budget(spot)
        budget.rules.pop(operator, None)
        if rule is not None:
            budget.rules[operator] = (rule, by)
        self.refresh(spot)
        if not spot[1]:
            for level in self._levels.values():
                for pool, lane in list(level.lines):
                    if pool == spot[0]:
                        self._turn(level, pool, lane)
        self._tidy(spot)

    def set_gate(self, spot: Spot, seconds: float | None) -> None:
        budget, now = self._budget(spot), time.monotonic()
        if not seconds:
            budget.gate = 0.0
        elif budget.gate != FOREVER:
            budget.gate = now + seconds
        self.refresh(spot)
        self._tidy(spot)

    def opens(self, spot: Spot) -> float | None:
        """When it may lease (monotonic; 0: now), None if no time changes it. A spot that is closed is looked at again then."""
        budget, now = self.budgets.get(spot), time.monotonic()
        if budget is None:
            return 0.0
        rule = self.rule(spot)
        if budget.gate == FOREVER or (rule is not None and rule.at_once and budget.leased >= rule.at_once):
            return None
        when = max(budget.gate, until_rate(budget, rule, now) + now)
        if when <= now:
            return 0.0
        self._look_again(spot, when)
        return when

    def spend(self, entry: Entry, share: int) -> None:
        """Take a lease's share of the rates of a task; -1 gives it back (L6)."""
        now = time.monotonic()
        for spot in spots_of(entry.ticket):
            rule = self.rule(spot)
            if rule is not None and rule.rate is not None:
                number, seconds = rule.rate
                budget = self._budget(spot)
                step = seconds / number
                tat = min(budget.tat, now + rule.burst * step)
                budget.tat = (max(tat, since(tat, step, now)) if share > 0 else tat) + share * step

    # who may go

    def refresh(self, spot: Spot) -> None:
        """Something has changed that may let this spot lease: let it take turns again."""
        pool, lane = spot
        if spot == QUEUE and self._shut:
            self.opened, self._shut = True, False
        for level in self._levels.values():
            if lane and (pool, lane) in level.lines:
                self._turn(level, pool, lane)
            elif not lane and pool in level.lanes:
                self._turn_of_pool(level, pool)

    def _turn(self, level: Level, pool: str, lane: str) -> None:
        ring = level.lanes.setdefault(pool, Ring())
        if lane not in ring.members and (not lane or self.opens((pool, lane)) == 0.0):
            self.opened = ring.add(lane)
        self._turn_of_pool(level, pool)

    def _turn_of_pool(self, level: Level, pool: str) -> None:
        waits = pool not in level.pools.members and bool(level.lanes[pool].members)
        if waits and (not pool or self.opens((pool, "")) == 0.0):
            self.opened = level.pools.add(pool)

    def due(self) -> None:
        """Look again at the spots whose time has come."""
        now = time.monotonic()
        while self._times and self._times[0][0] <= now:
            when, spot = heappop(self._times)
            if self._when.get(spot) == when:
                del self._when[spot]
                self.refresh(spot)
                self._tidy(spot)

    def next_time(self) -> float | None:
        """When the next spot opens that has something ready (monotonic), if a time is all that is needed."""
        found: list[float] = []
        for spot in list(self._when):
            budget = self.budgets.get(spot)
            if budget is not None and budget.ready:
                opens = [when for one in {QUEUE, (spot[0], ""), spot} if (when := self.opens(one)) is not None]
                found += [max(opens)] if len(opens) == len({QUEUE, (spot[0], ""), spot}) else []
        return min(found, default=None)

    def pick(self, me: Consumer | None, mine: Counter[Spot]) -> tuple[Level, str, str] | None:
        """The lane whose turn it is, of those from which `me`, which holds `mine`, may lease; None if there is none."""
        self.due()
        self._shut = self.opens(QUEUE) != 0.0
        if self._shut or self._slots_taken(QUEUE, me, mine):
            return None
        for priority in sorted(self._levels):
            level = self._levels[priority]
            for pool in list(level.pools.members):
                if pool and self.opens((pool, "")) != 0.0:
                    level.pools.drop(pool)
                elif not pool or not self._slots_taken((pool, ""), me, mine):
                    for lane in list(level.lanes[pool].members):
                        if lane and self.opens((pool, lane)) != 0.0:
                            level.drop(pool, lane)
                        elif not lane or not self._slots_taken((pool, lane), me, mine):
                            return level, pool, lane
        return None

    def may_go(self, me: Consumer | None = None) -> bool:
        """True if there is something that this consumer may lease, or, without one, that one with free slots might."""
        if me is None:
            self.opened = False
        return self.pick(me, Counter() if me is None else held(me)) is not None

    # who is told when

    def tell(self, me: Consumer) -> float | None:
        """The time at which something may go, if this consumer is the one to be told (L8)."""
        self.called = False
        when = self.next_time()
        if when is None or (self._watched(when) and self.watcher is not None and self.watcher[0] is not me):
            return None
        self.watcher = (me, when)
        return when

    def hand_over(self, me: Consumer) -> None:
        """This consumer waits for nothing any more; somebody else is to be told."""
        self.called = False
        if self.watcher is not None and self.watcher[0] is me:
            self.watcher = None

    def to_be_told(self) -> bool:
        """True if something may go at a time, and nobody is told."""
        when = None if self.called else self.next_time()
        return when is not None and not self._watched(when)

    def _watched(self, when: float) -> bool:
        if self.watcher is None or self.watcher[0].state != LIVING:
            return False
        return time.monotonic() < self.watcher[1] <= when + 1e-6

    def _slots_taken(self, spot: Spot, me: Consumer | None, mine: Counter[Spot]) -> bool:
        """L5."""
        rule = self.rule(spot) if me is not None else None
        return me is not None and rule is not None and bool(rule.at_once or rule.rate) and mine[spot] >= me.terms.slots

    def take(self, found: tuple[Level, str, str], limit: int) -> None:
        """The first task of this lane goes, in a batch of `limit`: what that is of its turn. The task itself is moved by `move`."""
        level, pool, lane = found
        for ring, name, spot in ((level.lanes[pool], lane, (pool, lane)), (level.pools, pool, (pool, ""))):
            rule = self.rule(spot) if name or ring is level.pools else None
            ring.gone(name, max(1 if rule is None else rule.weight, limit // len(ring.members)))

    # looking

    def standing(self, spot: Spot) -> Standing:
        """How a spot stands."""
        budget, now, own, rule = self.budgets.get(spot) or Budget(), time.monotonic(), self.own(spot), self.rule(spot)
        return Standing(
            spot,
            budget.ready + budget.delayed,
            budget.leased,
            rule,
            "" if own is None else "operator" if own[2] else "code",
            "" if own is None else own[1],
            max(0.0, budget.gate - now),
            until_rate(budget, rule, now),
        )

    def recount(self, true: Flow) -> list[tuple[Spot, int, int]]:
        """Put right what is counted, by what is there; the spots that were wrong."""
        wrong = []
        for spot in sorted({*self.budgets, *true.budgets}):
            here, there = self._budget(spot), true.budgets.get(spot) or Budget()
            for name in (READY, DELAYED, LEASED):
                if getattr(here, name) != getattr(there, name):
                    setattr(here, name, getattr(there, name))
                    wrong.append((spot, there.ready + there.delayed, there.leased))
            self._tidy(spot)
        return list(dict.fromkeys(wrong))

    def spots(self, pool: str | None) -> Iterator[Spot]:
        """Spots that have something: the queue and its pools, or lanes of a pool; sorted."""
        now = time.monotonic()
        for spot in sorted(self.budgets):
            budget = self.budgets[spot]
            if (spot[1] == "" if pool is None else spot[0] == pool and spot[1] != "") and (
                budget.ready or budget.delayed or budget.leased or budget.rules or budget.gate > now
            ):
                yield spot


def until_rate(budget: Budget, rule: Rule | None, now: float) -> float:
    """Seconds until the rate lets the next one go."""
    if rule is None or rule.rate is None:
        return 0.0
    every = rule.rate[1] / rule.rate[0]
    tat = min(budget.tat, now + rule.burst * every)
    left = tat - (rule.burst - 1) * every - now
    return left if left > 1e-9 else 0.0


def held(me: Consumer) -> Counter[Spot]:
    """How many tasks of each spot a consumer holds."""
    return Counter(spot for entry in me.held.values() for spot in spots_of(entry.ticket))


def lane_of(entry: Entry) -> Spot:
    """Where a task stands, if it is ready."""
    return QUEUE if entry.ticket is None else entry.ticket[:2]


def spots_of(ticket: Ticket | None) -> tuple[Spot, ...]:
    """What a task is charged to."""
    if ticket is None or not (ticket.pool or ticket.lane):
        return (QUEUE,)
    if not ticket.lane:
        return QUEUE, (ticket.pool, "")
    return (QUEUE, ticket[:2]) if not ticket.pool else (QUEUE, (ticket.pool, ""), ticket[:2])
