"""What the contract says of one queue with the extra `flow`, in plain Python: a model for programs to be compared with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from regiment.contracts import Again, Back, Dead, Done, Met, Rule, Settlement, Spot, Ticket

SLOTS = 3
"""Of each consumer."""


@dataclass(eq=False)
class Task:
    """A task of the model."""

    payload: bytes
    ticket: Ticket
    priority: int
    state: str = "ready"
    claim: bool = False
    """True if it has its key, or is the successor for it."""


@dataclass
class Model:
    """What the contract says of one queue. Nothing in it depends on a clock: what is delayed stays so."""

    ready: dict[tuple[int, str, str], list[Task]] = field(default_factory=dict)
    """By priority, pool and lane, the oldest first."""
    returned: set[bytes] = field(default_factory=set)
    """Of those the ones that came back: they stand in front, in an order that is not compared."""
    delayed: list[Task] = field(default_factory=list)
    held: dict[tuple[str, int], Task] = field(default_factory=dict)
    dead: list[Task] = field(default_factory=list)
    keys: dict[str, list[Task]] = field(default_factory=dict)
    """The holder, and its successor."""
    rules: dict[tuple[Spot, bool], Rule] = field(default_factory=dict)
    shut: set[Spot] = field(default_factory=set)

    # looking

    def waiting(self) -> list[Task]:
        return [task for lane in self.ready.values() for task in lane] + self.delayed

    def of(self, tasks: Any, spot: Spot) -> int:
        pool, lane = spot
        return sum(
            (not pool or t.ticket.pool == pool) and (not lane or (t.ticket.pool, t.ticket.lane) == spot) for t in tasks
        )

    def rule(self, spot: Spot) -> Rule | None:
        own = self.rules.get((spot, True)) or self.rules.get((spot, False))
        if own is None and spot[1]:
            of_pool = self.rule((spot[0], ""))
            return None if of_pool is None else of_pool.lanes
        return own

    def may(self, consumer: str, ticket: Ticket) -> bool:
        for spot in {("", ""), (ticket.pool, ""), (ticket.pool, ticket.lane)}:
            rule = self.rule(spot)
            most = None if rule is None else rule.at_once
            mine = [task for (name, _), task in self.held.items() if name == consumer]
            if spot in self.shut:
                return False
            if most and (self.of(self.held.values(), spot) >= most or self.of(mine, spot) >= SLOTS):
                return False
        return True

    def next(self, consumer: str, ordered: bool) -> set[bytes]:
        """The tasks of which any may be leased now."""
        lanes = sorted(key for key, tasks in self.ready.items() if tasks)
        lanes = [key for key in lanes if self.may(consumer, self.ready[key][0].ticket)]
        found: set[bytes] = set()
        for priority, pool, lane in lanes:
            if ordered and priority > lanes[0][0]:
                break
            line = self.ready[priority, pool, lane]
            front = {task.payload for task in line if task.payload in self.returned}
            found |= front or {line[0].payload}
            found |= set() if ordered else {task.payload for task in line}
        return found

    # changing

    def claim(self, task: Task) -> None:
        if task.ticket.unique:
            task.claim = True
            self.keys.setdefault(task.ticket.unique, []).append(task)

    def give_up(self, task: Task) -> None:
        key = task.ticket.unique
        if task.claim:
            task.claim = False
            self.keys[key].remove(task)
            if not self.keys[key]:
                del self.keys[key]

    def wait(self, task: Task, state: str, front: bool = False) -> None:
        task.state = state
        if state == "delayed":
            self.delayed.append(task)
            return
        line = self.ready.setdefault((task.priority, task.ticket.pool, task.ticket.lane), [])
        if front:
            self.returned.add(task.payload)
        line.insert(0 if front else len(line), task)

    def leave(self, task: Task) -> None:
        """Out of where it waits."""
        if task.state == "delayed":
            self.delayed.remove(task)
        else:
            self.ready[task.priority, task.ticket.pool, task.ticket.lane].remove(task)
            self.returned.discard(task.payload)

    def push(self, index: int, payload: bytes, ticket: Ticket, priority: int, delayed: bool) -> Met | None:
        """One payload of a push."""
        claims = self.keys.get(ticket.unique, []) if ticket.unique else []
        if claims:
            holder = claims[0]
            if ticket.clash == "keep":
                return Met(index, "kept", holder.ticket.id, holder.state)
            other = claims[-1]  # the successor, if there is one
            if other.state != "leased":
                met = Met(index, "replaced", other.ticket.id, other.state)
                self.replace(other, payload, ticket, priority, delayed)
                return met
        task = Task(payload, ticket, priority)
        self.claim(task)
        self.wait(task, "delayed" if delayed else "ready")
        return None

    def replace(self, old: Task, payload: bytes, ticket: Ticket, priority: int, delayed: bool) -> None:
        came_back = old.payload in self.returned
        self.returned.discard(old.payload)
        old.payload = payload
        old.ticket = ticket._replace(pool=old.ticket.pool, lane=old.ticket.lane)
        if came_back:
            self.returned.add(payload)
        if old.state == "delayed":
            self.delayed.remove(old)
            old.priority = priority
            self.wait(old, "delayed" if delayed else "ready")

    def lease(self, consumer: str, receipt: int, payload: bytes) -> Task:
        [task] = [one for one in self.waiting() if one.payload == payload]
        self.leave(task)
        task.state = "leased"
        self.held[consumer, receipt] = task
        claims = self.keys.get(task.ticket.unique, [])
        if task.claim and task.ticket.until == "start":
            self.give_up(task)
        elif task.claim and claims[0] is not task:
            self.give_up(claims[0])
        return task

    def end(self, consumer: str, settlement: Settlement) -> None:
        """One settlement, of one receipt."""
        receipt = settlement.first if isinstance(settlement, (Done, Back)) else settlement.receipt
        task = self.held.pop((consumer, receipt))
        if isinstance(settlement, (Done, Dead)):
            self.give_up(task)
            if isinstance(settlement, Dead):
                task.state = "dead"
                self.dead.append(task)
        elif isinstance(settlement, Back):
            self.wait(task, "ready", front=True)
        elif isinstance(settlement, Again):
            task.payload = settlement.payload
            task.priority = task.priority if settlement.priority is None else settlement.priority
            self.wait(task, "delayed")
