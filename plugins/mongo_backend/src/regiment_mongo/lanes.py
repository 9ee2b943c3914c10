"""Which ready tasks of a queue with lanes are next: highest priority first, pools in turn, in a pool its lanes, in a lane the oldest.

The turn is that of one connector, so between several the order is their best effort. A turn goes through the index `ready` from behind where
the last one ended, by name; so nothing is kept of a lane but its tasks. A pool that may lease nothing is passed over in one step,
however many tasks it has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import Any

from bson import ObjectId

from regiment_mongo.budget import Budget
from regiment_mongo.budgets import Budgets
from regiment_mongo.layout import Document
from regiment_mongo.ledger import Facts, Plan, Row
from regiment_mongo.ruling import LEAST
from regiment_mongo.spots import fetched, level, pool_range, spot_of, spots_of
from regiment_mongo.turns import Pools, Turns

WINDOW = 128
"""Tasks that are read at a time at most to find lanes."""

BROAD = 16
"""Pools, and lanes of a pool, that take turns in one exchange at most beyond those that the first reading finds."""

SEARCHES = 8
"""Readings that find lanes before those that were found take their turn: with deep lanes, a batch has few of them, and more of each."""

STEPS = 400
"""Readings of one exchange that looks for tasks that may go; then the next one goes on."""


class Lane:
    """The ready tasks of one lane and priority, read as they are wanted."""

    def __init__(self, read: Callable[[int, int], list[Document]], key: str, found: list[Document]) -> None:
        self.key, self._read, self._tasks = key, read, found
        self._last = found[-1]["s"] if found else -1
        self._ended = False

    def pull(self, number: int) -> list[Document]:
        """The next ones, at most so many."""
        lacking = number - len(self._tasks)
        if lacking > 0 and not self._ended:
            more = self._read(self._last, lacking)
            self._ended = len(more) < lacking
            self._tasks += more
            if more:
                self._last = more[-1]["s"]
        found, self._tasks = self._tasks[:number], self._tasks[number:]
        return found

    def put(self, tasks: list[Document]) -> None:
        """Have them be the next ones again."""
        self._tasks = tasks + self._tasks


class Going:
    """The lanes of a pool in one exchange."""

    def __init__(self, more: Iterator[Lane]) -> None:
        self.more = more
        """Those that have had no turn."""
        self.active: list[Lane] = []
        """Those that have had one and may have something still."""


class Choice:
    """One exchange's choice, as it goes."""

    def __init__(self, budget: Budget, limit: int, turns: Turns, out: set[ObjectId]) -> None:
        self.budget, self.limit, self.turns, self.out = budget, limit, turns, out
        self.tasks: list[Document] = []
        self.steps = 0

    @property
    def need(self) -> int:
        """How many are wanted still."""
        return self.limit - len(self.tasks)

    def late(self) -> bool:
        """True if the next exchange should go on."""
        return self.steps > STEPS


class Lanes(Budgets):
    """For claims."""

    def in_turn(self, queue: str, row: Row, facts: Facts, plan: Plan, limit: int) -> tuple[list[Document], Budget]:
        """The tasks to be claimed, charged to their spots, at most `limit`."""
        budget = self.budget(queue, row, facts, plan)
        choice = Choice(budget, limit, facts.turns, set(facts.excluded))
        facts.turns.trim()
        if not facts.paused:
            for priority in facts.priorities:
                limit = min(choice.need, budget.room(""))
                if limit <= 0 or choice.late():
                    break
                self._of_level(queue, facts, choice, priority)
            if choice.need and not choice.late() and (found := self._unknown(queue, facts)) is not None:
                facts.priorities = tuple(sorted((*facts.priorities, found)))
                self._of_level(queue, facts, choice, found)
        if choice.late() and choice.need:
            budget.opens.append(budget.now)
        return choice.tasks, budget

    def _unknown(self, queue: str, facts: Facts) -> int | None:
        """A priority of tasks without a lane that the queue's row does not name: of tasks that came before the first lane."""
        query = {"q": queue, "p": {"$gte": LEAST, "$nin": list(facts.priorities)}, "s": {"$gte": 0}}
        found = self._first(query, 1)
        return found[0]["p"] if found else None

    def _of_level(self, queue: str, facts: Facts, choice: Choice, priority: int) -> None:
        known = choice.turns.pools.get(priority)
        if known is not None and known.good:
            self._of_pools(queue, facts, choice, priority, iter(list(known.names)))
            if not choice.need or choice.late():
                return
        walk = self._pools(queue, choice, priority)
        found = list(islice(walk, BROAD))
        names = [name for name, _ in found]
        if len(names) < BROAD:
            # Who comes to have something goes behind those that take turns; of several, who has waited longest goes first.
            order = [] if known is None else [name for name in known.order if name in names]
            names = [*order, *(name for name, _ in sorted(found, key=lambda one: one[1]) if name not in order)]
        choice.turns.pools[priority] = Pools(names, len(names) < BROAD)
        self._of_pools(queue, facts, choice, priority, chain(list(names), (name for name, _ in walk)))

    def _of_pools(self, queue: str, facts: Facts, choice: Choice, priority: int, pools: Iterator[str]) -> None:
        """Pools in turn, from behind the one that had the last."""
        while choice.need and not choice.late():
            group: list[str] = []
            for pool in pools:
                if choice.budget.room(pool_range(pool)[0] if pool else "") > 0:
                    group.append(pool)
                if len(group) == min(BROAD, choice.need):
                    break
            if not group:
                return
            lanes = {pool: Going(self._lanes(queue, choice, priority, pool)) for pool in group}
            while lanes and choice.need and not choice.late():
                share = max(1, choice.need // len(lanes))
                for pool in list(lanes):
                    weight = self._weight(choice, pool_range(pool)[0] if pool else "")
                    wanted = min(choice.need, max(share, self._left(choice, priority, pool or "\0", weight)))
                    before = len(choice.tasks)
                    dry = self._of_pool(queue, facts, choice, priority, pool, lanes[pool], wanted)
                    self._had_turn(
                        choice, priority, pool or "\0", weight, len(choice.tasks) - before, choice.turns.pool, pool
                    )
                    if dry:
                        del lanes[pool]
                    if not choice.need:
                        return

    def _weight(self, choice: Choice, key: str) -> int:
        rule = choice.budget.rules.of(key)
        return 1 if rule is None else rule.weight

    def _left(self, choice: Choice, priority: int, name: str, weight: int) -> int:
        return min(weight, choice.turns.left.get((priority, name), weight))

    def _had_turn(
        self, choice: Choice, priority: int, name: str, weight: int, had: int, last: dict[Any, str], own: str
    ) -> None:
        """A turn ends when its weight is leased: then the next one's begins behind it."""
        if not had:
            return
        left = self._left(choice, priority, name, weight) - had
        if left > 0:
            choice.turns.left[priority, name] = left
        else:
            choice.turns.left.pop((priority, name), None)
            last[priority] = own
            if last is choice.turns.pool and priority in choice.turns.pools:
                choice.turns.pools[priority].had(own)

    def _of_pool(
        self, queue: str, facts: Facts, choice: Choice, priority: int, pool: str, lanes: Going, wanted: int
    ) -> bool:
        """Its lanes in turn, until `wanted` are chosen; True if there is nothing more that may go."""
        goal = len(choice.tasks) + wanted
        last: dict[Any, str] = {}
        while len(choice.tasks) < goal and not choice.late():
            fresh, begun = list[Lane](), choice.steps
            for lane in lanes.more:
                fresh.append(lane)
                if len(fresh) == goal - len(choice.tasks) or choice.steps - begun >= SEARCHES:
                    break
            lanes.active = [*fresh, *lanes.active]
            if not lanes.active:
                return True
            seen = lanes.active[-1].key
            while lanes.active and len(choice.tasks) < goal:
                share = max(1, (goal - len(choice.tasks)) // len(lanes.active))
                for lane in list(lanes.active):
                    weight = self._weight(choice, lane.key) if lane.key.partition("\0")[2] else 1
                    turn = max(share, self._left(choice, priority, lane.key, weight))
                    number = min(turn, goal - len(choice.tasks))
                    got = self._of_lane(choice, lane, number)
                    self._had_turn(choice, priority, lane.key, weight, got, last, lane.key)
                    if priority in last:
                        choice.turns.lane[priority, pool] = last.pop(priority)
                    lanes.active.remove(lane)
                    if got == number:
                        lanes.active.append(lane)
                    if len(choice.tasks) == goal:
                        return False
            choice.steps += 1
            if choice.late():
                choice.turns.lane[priority, pool] = seen
        return False

    def _of_lane(self, choice: Choice, lane: Lane, number: int) -> int:
        """Tasks of one lane, as far as its spots let them go."""
        budget, spots = choice.budget, spots_of({"l": lane.key})
        number = min(number, *(budget.room(key) for key in spots))
        if number <= 0:
            return 0
        tasks: list[Document] = []
        while len(tasks) < number and (more := lane.pull(number - len(tasks))):
            tasks += [task for task in more if task["_id"] not in choice.out]
        rated = budget.rated(spots)
        if rated and tasks:
            free = self.ask_rates(budget, reversed(rated), len(tasks))
            lane.put(tasks[free:])
            tasks = tasks[:free]
        for task in tasks:
            budget.spend(task)
        choice.tasks += tasks
        choice.out |= {task["_id"] for task in tasks}
        return len(tasks)

    # Walking the index

    def _pools(self, queue: str, choice: Choice, priority: int) -> Iterator[tuple[str, int]]:
        """Pools that have something ready of this priority, from behind the last turn on; at most once each."""
        found: set[str] = set()
        last = choice.turns.pool.get(priority)
        going = last is not None and bool(choice.turns.left.get((priority, last or "\0")))
        digits = level(priority)
        begin = digits if last is None else digits + pool_range(last)[0 if going else 1]
        for low, high in ((begin, level(priority + 1)), (digits, begin)):
            if low == digits and (first := self._plain(queue, priority, -1, 1)):
                found.add("")
                yield "", first[0]["s"]
            for key, tasks in self._groups(queue, low, high, choice, _behind_pool, digits):
                name = spot_of(key)[0]
                if name not in found:
                    found.add(name)
                    yield name, tasks[0]["s"]
            if begin == digits:
                return

    def _lanes(self, queue: str, choice: Choice, priority: int, pool: str) -> Iterator[Lane]:
        """Lanes of a pool that have something ready of this priority, from behind the last turn on."""
        digits, (begin, end) = level(priority), pool_range(pool)
        last = choice.turns.lane.get((priority, pool))
        if last is not None and not choice.turns.left.get((priority, last)):
            last += "\0"
        spans = [(begin, end)] if last is None else [(last, end), (begin, last)]

        def reader(key: str) -> Callable[[int, int], list[Document]]:
            return lambda after, number: self._of_key(queue, digits + key, after, number)

        for low, high in spans:
            if low == begin and not pool:
                yield Lane(lambda after, number: self._plain(queue, priority, after, number), "", [])
            found = self._groups(queue, digits + low, digits + high, choice, lambda key: key + "\0", digits)
            for key, tasks in found:
                yield Lane(reader(key), key, tasks)

    def _groups(
        self, queue: str, low: str, high: str, choice: Choice, end: Callable[[str], str], digits: str
    ) -> Iterator[tuple[str, list[Document]]]:
        """Lanes between two texts, each with the tasks of it that were read; `end` is where the search goes on behind a lane."""
        size = min(choice.limit, WINDOW)
        while True:
            query = {"q": queue, "p": {"$gte": low, "$lt": high}, "s": {"$gte": 0}}
            tasks = self._first(query, size)
            groups: list[tuple[str, list[Document]]] = []
            for task in tasks:
                key = task["l"]
                if groups and groups[-1][0] == key:
                    groups[-1][1].append(fetched(task))
                else:
                    groups.append((key, [fetched(task)]))
            choice.steps += 1
            yield from groups
            if len(tasks) < size:
                return
            low = digits + end(groups[-1][0])
            # Deep lanes are passed one by one, shallow ones many at a time.
            size = min(WINDOW, max(1, 2 * size if len(groups) * 4 > size else size // 2))

    def _of_key(self, queue: str, p: str, after: int, number: int) -> list[Document]:
        query = {"q": queue, "p": p, "s": {"$gt": after}}
        return [fetched(task) for task in self._first(query, number)]

    def _plain(self, queue: str, priority: int, after: int, number: int) -> list[Document]:
        """Tasks without a ticket: they stand in pool "" and lane ""."""
        return self._first({"q": queue, "p": priority, "s": {"$gt": after}}, number)

    def _first(self, query: Document, number: int) -> list[Document]:
        asked = {"filter": query, "sort": {"p": 1, "s": 1}, "hint": "ready"}
        found = {"find": self._tasks.name, **asked, "limit": number, "batchSize": number, "singleBatch": True}
        return list(self.ask(found)["cursor"]["firstBatch"])


def _behind_pool(key: str) -> str:
    """The first text that is behind the lanes of this lane's pool."""
    return pool_range(spot_of(key)[0])[1]
