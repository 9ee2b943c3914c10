"""Programs of any steps, run by a store and by a model of the contract in plain Python, compared after each step."""

from __future__ import annotations

from collections.abc import Callable

from regiment.contracts import FOREVER, Again, Back, Connector, Dead, Done, Rule, Settlement, Spot, Terms, Ticket
from regiment_testing.contracts.bench import Consumer, Open, extra, fresh
from regiment_testing.contracts.charged import FAR, FlowBench, able, right
from regiment_testing.contracts.model import SLOTS, Model

POOLS, LANES = ("", "crm", "erp"), ("", "a", "b")
SPOTS: list[Spot] = [(pool, lane) for pool in POOLS for lane in LANES]
RULES = (None, Rule(at_once=1), Rule(at_once=3, weight=2), Rule(at_once=4, lanes=Rule(at_once=2)), Rule(weight=3))
KEYS = ("", "", "k1", "k2")

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
                until=("done", "done", "start")[(how + n) % 3],
                clash=("keep", "replace", "later")[(where + which) % 3],
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
            max_examples=6,
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
