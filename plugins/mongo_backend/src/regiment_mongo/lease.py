"""The lease: join, renew, exchange. The rules R1 to R18 are those of `docs/guarantees.md`.

What a consumer holds stands in its own document, with its turn and its guard `v`, so that fence, turn, settlement and
claim are one atomic write. `docs/mongo.md` has the states and what a crash between two writes leaves.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from pymongo.errors import DuplicateKeyError, PyMongoError

from regiment.contracts import Effect, Settlement, Taken, Terms
from regiment.errors import Fenced
from regiment_mongo.base import Stale
from regiment_mongo.layout import Document
from regiment_mongo.ledger import LIVE, Facts, Plan, Row, delivery, settle
from regiment_mongo.serving import InLanes

MOST_LEASED = 5_000
"""Tasks that one exchange leases at most, whatever its limit: a consumer's document stays well below 16 MiB."""

TEND_EVERY = 0.25
"""Seconds between two looks at due tasks and overdue consumers while exchanges keep coming back full. The first exchange
after a wait claims first what it was woken for: the look took half of the time from a push to its task (measured).
"""

TRIES = 12

NOTHING: Mapping[int, Sequence[Effect]] = MappingProxyType({})


class Leases(InLanes):
    """The verbs of workers and keepers."""

    def join(self, queue: str, consumer: str, terms: Terms) -> None:
        name = f"{queue} {consumer}"
        moment = self.moment(queue, lease=terms.lease)
        document = {
            "_id": name,
            "q": queue,
            "c": consumer,
            "st": LIVE,
            "v": 0,
            "turn": 0,
            "h": 0,
            "held": [{"t": name}],
            "until": moment.now + int(terms.lease * 1000) - moment.shift,
            "lease": terms.lease,
            "poison": list(terms.poison_delays),
            "dl": terms.dead_limit,
            "da": terms.dead_age,
            **({"once": True} if terms.delivery == "at_most_once" else {}),
            **({"sl": terms.slots} if moment.flow else {}),
        }
        self._terms[name] = terms.slots
        try:
            self._consumers.insert_one(document)
        except DuplicateKeyError:
            found = self._consumers.find_one({"_id": name}, {"st": 1})
            if found is None or found["st"] != LIVE:
                raise Fenced(
                    f"consumer {consumer} of {queue!r} was closed or taken for dead; join under a new name"
                ) from None
        self._rows.pop(name, None)

    def renew(self, consumers: Sequence[tuple[str, str]], seconds: float) -> Sequence[tuple[str, str]]:
        lost: list[tuple[str, str]] = []
        queues: dict[str, list[str]] = {}
        for queue, consumer in consumers:
            queues.setdefault(queue, []).append(consumer)
        for queue, names in queues.items():
            ids = {f"{queue} {name}": name for name in names}
            alive = {"_id": {"$in": list(ids)}, "st": LIVE}
            found = dict[str, float]()
            for document in self._consumers.find(alive, {"lease": 1, "tx": 1}):
                found[document["_id"]] = document["lease"]
                self._unlock(document)
            if found:
                moment = self.moment(queue, lease=min(found.values()))
                until = moment.now + int(seconds * 1000) - moment.shift
                done = self._consumers.update_many(alive, {"$max": {"until": until}})
                if done.matched_count != len(found):
                    found = {d["_id"]: 0.0 for d in self._consumers.find(alive, {"_id": 1})}
            lost += [(queue, name) for id, name in ids.items() if id not in found]
            self.send_on(queue)
        return lost

    # For waiting, and for several clusters

    def due(self, queue: str) -> float | None:
        """When something of this queue is due, by the monotonic clock."""
        facts = self._facts.get(queue)
        return None if facts is None else facts.next

    def is_due(self, queue: str) -> bool:
        at = self.due(queue)
        return at is not None and at <= time.monotonic()

    def row(self, queue: str, consumer: str) -> Row | None:
        """The consumer as this connector knows it, else as it is stored."""
        name = f"{queue} {consumer}"
        return self._rows.get(name) or self._read(name)

    def ended(self, queue: str, consumer: str) -> bool:
        """Whether it is fenced or closed here (and not merely unknown)."""
        return self._consumers.count_documents({"_id": f"{queue} {consumer}", "st": {"$ne": LIVE}}) == 1

    def knows(self, queue: str, consumer: str, receipt: int) -> bool:
        row = self._rows.get(f"{queue} {consumer}")
        return row is not None and receipt in row.held

    def exchange_in(
        self,
        queue: str,
        consumer: str,
        turn: int,
        base: int,
        settlements: Sequence[Settlement],
        limit: int,
        max_bytes: int,
        holds_nothing: bool,
        effects: Mapping[int, Sequence[Effect]] = NOTHING,
    ) -> Taken:
        """`exchange` for one of several clusters, which do not see every turn: later ones are as good as the next."""
        row = self.row(queue, consumer)
        if row is not None and row.state == LIVE and row.turn < turn - 1:
            row.turn = turn - 1
        return self.exchange(queue, consumer, turn, base, settlements, limit, max_bytes, holds_nothing, effects=effects)

    # Exchange

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
        effects: Mapping[int, Sequence[Effect]] = NOTHING,
    ) -> Taken:
        name = f"{queue} {consumer}"
        limit = min(limit, MOST_LEASED)
        facts = self._facts.get(queue) or self._facts.setdefault(queue, Facts())
        fresh = False
        for _ in range(TRIES):
            row = self._rows.get(name)
            if row is None:
                row, fresh = self._read(name), True
            if row is None or row.state != LIVE or turn < 1 or turn - row.turn not in (0, 1):
                if not fresh:
                    self._rows.pop(name, None)
                    continue
                raise Fenced(self._refusal(queue, consumer, turn, row))
            try:
                if row.turn == turn:
                    return self._repeat(queue, row, facts, limit)
                plan = self.settle_plan(row, settle(row, settlements, holds_nothing), str(turn), effects)
                wanted = 0 if self.crowded(row) else limit
                return self._execute(queue, row, facts, turn, base, plan, wanted, max_bytes)
            except Stale:
                self._rows.pop(name, None)
            except PyMongoError:
                # It may have waited for somebody's transaction: the repeat reads the document, and ends it.
                self._rows.pop(name, None)
                raise
        raise Fenced(f"consumer {consumer} of {queue!r} was changed by others {TRIES} times while it spoke; join anew")

    def _refusal(self, queue: str, consumer: str, turn: int, row: Row | None) -> str:
        if row is None:
            return f"consumer {consumer} of {queue!r} is unknown here; join first"
        if row.state != LIVE:
            return f"consumer {consumer} of {queue!r} was closed or taken for dead; join under a new name"
        return f"consumer {consumer} of {queue!r} sent turn {turn}; expected {row.turn} again or {row.turn + 1}"

    def _read(self, name: str) -> Row | None:
        """A consumer's document, and after it the queue's notices: what is changed later changes its guard."""
        document = self._consumers.find_one({"_id": name})
        if document is None:
            return None
        row = self._row(document)
        facts = self._facts.setdefault(row.queue, Facts())
        facts.learn(self.look_at(row.queue))
        facts.restart()
        self._rows[name] = row
        return row

    def _repeat(self, queue: str, row: Row, facts: Facts, limit: int) -> Taken:
        """R4: the answer of the last turn, which is what the consumer still holds of it. The claim is completed first."""
        batch = row.batch()
        if batch:
            with self.together():
                self._affirm(row)
                if facts.unproven is not None and facts.unproven[:2] == (row.id, row.turn):
                    batch = self._confirm(row, batch)
                else:
                    self._forget(batch, None, self.lasting(row))
                self.strike_keys(row, [item for item in batch if "u" in item])
                self.forward(row, stands=True)
        elif row.out:
            with self.together():
                self.forward(row)
        if not batch and limit > 0:
            self.watch(queue)
        self._tend(queue, row, facts)
        if not batch and limit > 0 and (facts.in_lanes() or self._ready(queue, facts, 1, start=True)):
            facts.next = time.monotonic()
        self._tell(queue, facts, 0)
        now = self.clock.now()
        return Taken(row.lost, [delivery(item, now) for item in batch], self._until(facts), facts.board)

    def _execute(
        self,
        queue: str,
        row: Row,
        facts: Facts,
        turn: int,
        base: int,
        plan: Plan,
        limit: int,
        max_bytes: int,
    ) -> Taken:
        plan = self._settled_ahead(queue, row, facts, turn, plan)
        if row.held and limit > 0 and base <= (highest := max(row.held)):
            raise ValueError(f"base is {base}; expected more than {highest}, which is held")
        batch: list[Document] = []
        registered = False
        late = time.monotonic() - facts.tended > TEND_EVERY
        if self.is_due(queue) or (late and not (facts.rested and self.woken(queue))):
            registered = self._listen_and_tend(queue, row, facts, limit)
        if facts.in_lanes():
            return self.execute_in_lanes(queue, row, facts, turn, base, plan, limit, max_bytes, registered)
        for _ in range(TRIES):
            tasks = [] if limit <= 0 else self._ready(queue, facts, limit)
            if not tasks and limit > 0:
                # Listen first, then look again from the start: no push falls between.
                again = bool(facts.marks) or not registered
                if not registered:
                    registered = self._listen_and_tend(queue, row, facts, limit)
                if facts.in_lanes():
                    return self.execute_in_lanes(queue, row, facts, turn, base, plan, limit, max_bytes, registered)
                tasks = self._ready(queue, facts, limit, start=True) if again else []
            claimed = self._fitting(row, plan, tasks, base, max_bytes)
            try:
                with self.together():
                    self._write(row, turn, base, plan, claimed)
                    plan = Plan(plan.lost, [], [])
                    batch = self._confirm(row, claimed)
                    self.forward(row, stands=True)
            except DuplicateKeyError:
                self._collided(facts, [item["t"] for item in claimed], limit)
                continue
            if batch or not claimed:
                break
        else:
            with self.together():
                self._write(row, turn, base, plan, [])
                self.forward(row, stands=True)
        self._tell(queue, facts, len(batch))
        facts.rested = registered and not batch
        now = self.clock.now()
        return Taken(plan.lost, [delivery(item, now) for item in batch], self._until(facts), facts.board)

    def _settled_ahead(self, queue: str, row: Row, facts: Facts, turn: int, plan: Plan) -> Plan:
        """What is left to be settled with the claim, after what moves to another place."""
        if row.before is not None and row.before["turn"] == turn:
            return Plan(list(row.before["lost"]), [], [])
        if plan.moves or (facts.in_lanes() and plan.out is not None):
            # Of what it leaves behind, tasks that it sends to its own queue are charged before it leases.
            self._move(queue, row, turn, plan)
            return Plan(plan.lost, [], [])
        return plan

    def _listen_and_tend(self, queue: str, row: Row, facts: Facts, limit: int) -> bool:
        if limit > 0:
            self.watch(queue)
        self._tend(queue, row, facts)
        return True
