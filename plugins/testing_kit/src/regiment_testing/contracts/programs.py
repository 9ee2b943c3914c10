"""Programs of any steps, run by a store and by a model of the contract in plain Python, compared after each step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from regiment.contracts import FOREVER, Again, Back, Connector, Dead, Done, Met, Rule, Settlement, Spot, Terms, Ticket
from regiment_testing.contracts.bench import Consumer, Open, extra, fresh
from regiment_testing.contracts.charged import FAR, FlowBench, able, right

POOLS, LANES = ("", "crm", "erp"), ("", "a", "b")
SPOTS: list[Spot] = [(pool, lane) for pool in POOLS for lane in LANES]
RULES = (None, Rule(at_once=1), Rule(at_once=3, weight=2), Rule(at_once=4, lanes=Rule(at_once=2)), Rule(weight=3))
KEYS = ("", "", "k1", "k2")
SLOTS = 3

Step = tuple[str, int, int, int]
"""What is done, and three numbers that say with what."""
WHATS = [
    "admit",
    "admit",
    "admit",
    "push",
    "exchange",
    "exchange",
    "exchange",
    "exchange",
    "release",
    "rule",
    "rule",
    "gate",
    "purge",
    "revive",
]


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


class Run:
    """One program: a store and the model, step by step."""

    def __init__(self, connector: Connector, ordered: bool) -> None:
        self.queue, self.connector, self.ordered = fresh("program"), connector, ordered
        self.model, self.number = Model(), 0
        self.workers = [self.worker() for _ in range(3)]

    def worker(self) -> Consumer:
        return Consumer(self.connector, self.queue, terms=Terms(lease=FAR, slots=SLOTS))

    def name(self) -> bytes:
        self.number += 1
        return b"%d" % self.number

    def step(self, step: Step) -> None:
        what, *numbers = step
        verb: Callable[..., None] = getattr(self, f"do_{what}")
        verb(*numbers)
        self.compare()

    def do_admit(self, where: int, how: int, which: int) -> None:
        payloads = [self.name() for _ in range(1 + how % 3)]
        spots = [SPOTS[(where + n) % len(SPOTS)] for n in range(len(payloads))]
        tickets = [
            Ticket(
                *spot,
                unique=KEYS[(which + n) % len(KEYS)],
                until=("done", "done", "start")[(how + n) % 3],  # type: ignore[arg-type]
                clash=("keep", "replace", "later")[(where + which) % 3],  # type: ignore[arg-type]
                id=payload.decode(),
            )
            for n, (spot, payload) in enumerate(zip(spots, payloads, strict=True))
        ]
        priority, delayed = which % 3, how % 4 == 3
        delay = FAR if delayed else 0.0
        met = able(self.connector).admit(
            self.queue, payloads, tickets, priority=priority, delay=delay, token=fresh("token")
        )
        pairs = enumerate(zip(payloads, tickets, strict=True))
        wanted = [self.model.push(n, payload, ticket, priority, delayed) for n, (payload, ticket) in pairs]
        assert list(met) == [one for one in wanted if one is not None]

    def do_push(self, priority: int, delayed: int, _: int) -> None:
        payload, late = self.name(), delayed % 4 == 3
        delay = FAR if late else 0.0
        self.connector.push(self.queue, [payload], priority=priority % 3, delay=delay, token=fresh("token"))
        self.model.push(0, payload, Ticket(), priority % 3, late)

    def do_exchange(self, who: int, how: int, limit: int) -> None:
        worker, settlements = self.workers[who % 3], []  # type: tuple[Consumer, list[Settlement]]
        for n, (name, receipt) in enumerate(list(self.model.held)):
            if name == worker.name and (how + n) % 3:
                kinds: list[Settlement] = [
                    Done(receipt, receipt),
                    Done(receipt, receipt),
                    Back(receipt, receipt),
                    Dead(receipt, "id", b"{}"),
                    Again(receipt, self.name(), FAR, None if how % 2 else (how + n) % 3),
                ]
                settlements.append(kinds[(how + limit + n) % len(kinds)])
        self.lease(worker, limit % 6, *settlements)

    def lease(self, worker: Consumer, limit: int, *settlements: Settlement) -> None:
        """An exchange: each task must be one of those that may go now, and there are fewer than asked for only if none may."""
        taken = worker.exchange(*settlements, limit=limit)
        assert not taken.lost
        for settlement in settlements:
            self.model.end(worker.name, settlement)
        for delivery in taken.deliveries:
            may = self.model.next(worker.name, self.ordered)
            assert delivery.payload in may, f"{delivery.payload!r} was leased; expected one of {sorted(may)}"
            self.model.lease(worker.name, delivery.receipt, delivery.payload)
        if len(taken.deliveries) < limit:
            assert self.model.next(worker.name, self.ordered) == set(), "these might have gone, and did not"

    def do_release(self, who: int, how: int, _: int) -> None:
        worker = self.workers[who % 3]
        mine = [receipt for name, receipt in self.model.held if name == worker.name]
        done = [(receipt, receipt) for n, receipt in enumerate(mine) if (how + n) % 2]
        worker.release(done, {}, close=True)
        for receipt in reversed(mine):
            span = (receipt, receipt)
            self.model.end(worker.name, Done(*span) if span in done else Back(*span))
        self.workers[who % 3] = self.worker()

    def do_rule(self, where: int, which: int, who: int) -> None:
        spot, rule = SPOTS[where % len(SPOTS)], RULES[which % len(RULES)]
        rule = rule._replace(lanes=None) if rule and spot[1] else rule
        able(self.connector).rule(self.queue, spot, rule, operator=bool(who % 2))
        self.model.rules.pop((spot, bool(who % 2)), None)
        if rule is not None:
            self.model.rules[spot, bool(who % 2)] = rule

    def do_gate(self, where: int, shut: int, _: int) -> None:
        spot = SPOTS[where % len(SPOTS)]
        able(self.connector).gate(self.queue, spot, FOREVER if shut % 2 else None)
        (self.model.shut.add if shut % 2 else self.model.shut.discard)(spot)

    def do_purge(self, how: int, _: int, __: int) -> None:
        if how % 3:
            return  # seldom, or no queue is ever long
        gone = self.model.waiting()
        assert self.connector.purge(self.queue) == len(gone)
        for task in gone:
            self.model.give_up(task)
        self.model.ready, self.model.delayed, self.model.returned = {}, [], set()

    def do_revive(self, which: int, _: int, __: int) -> None:
        letters = {letter.payload: letter.id for letter in self.connector.dead(self.queue, 1000)}
        assert sorted(letters) == sorted(task.payload for task in self.model.dead)
        if not self.model.dead:
            return
        task = self.model.dead[which % len(self.model.dead)]
        held = task.ticket.unique in self.model.keys and task.ticket.until == "done"
        assert self.connector.revive(self.queue, {letters[task.payload]: None}) == (not held)
        if not held:
            self.model.dead.remove(task)
            if task.ticket.until == "done":
                self.model.claim(task)
            self.model.wait(task, "ready")

    def compare(self) -> None:
        """What the store says of itself, and what the model says."""
        model, counts = self.model, self.connector.counts(self.queue)
        ready = sum(map(len, model.ready.values()))
        wanted = (ready, len(model.delayed), len(model.held), len(model.dead))
        assert (counts.ready, counts.delayed, counts.leased, counts.dead) == wanted
        for spot, standing in zip(SPOTS, able(self.connector).flow(self.queue, SPOTS), strict=True):
            rule = model.rule(spot)
            assert standing.spot == spot and standing.rule == rule
            found = (standing.waiting, standing.running, standing.gate)
            gate = FOREVER if spot in model.shut else 0.0
            assert found == (model.of(model.waiting(), spot), model.of(model.held.values(), spot), gate), spot

    def finish(self) -> None:
        """Lift every limit: all that is left comes, each once, and nothing stays."""
        right(self.connector, self.queue)
        flowing = able(self.connector)
        for spot in SPOTS:
            flowing.gate(self.queue, spot, None)
            for operator in (False, True):
                flowing.rule(self.queue, spot, None, operator=operator)
        self.model.rules, self.model.shut = {}, set()
        for who in range(3):
            self.do_release(who, 0, 0)
        self.lease(self.workers[0], 1000)
        assert not any(self.model.ready.values())
        self.do_release(0, 0, 0)
        self.do_purge(0, 0, 0)
        self.compare()
        assert list(flowing.standings(self.queue)) == [], "nothing waits or runs, and there is no rule"
        right(self.connector, self.queue)


@extra("flow")
class ProgramContract(FlowBench):
    """All of the extra at once."""

    def test_any_program_does_what_the_contract_says(self, open: Open) -> None:
        """Up to 200 steps: pushes with keys, leases, settlements, releases, rules, gates, purges and revivals."""
        from hypothesis import HealthCheck, Phase, given, note, settings
        from hypothesis import strategies as st

        connector, ordered = open("lease"), self.lanes_in_order
        numbers = st.integers(0, 59)
        steps = st.tuples(st.sampled_from(WHATS), numbers, numbers, numbers)

        @settings(
            max_examples=20,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],  # a program of hundreds of steps takes minutes to shrink
            suppress_health_check=list(HealthCheck),
        )
        @given(st.lists(steps, min_size=20, max_size=200))
        def run(program: list[Step]) -> None:
            one = Run(connector, ordered)
            for number, step in enumerate(program):
                note(f"step {number}: {step}")
                one.step(step)
            one.finish()

        run()
