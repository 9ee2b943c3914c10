"""The claim of an exchange from a queue with lanes."""

from __future__ import annotations

import time
from collections import Counter

from pymongo.errors import DuplicateKeyError

from regiment.contracts import Taken
from regiment_mongo.base import Stale
from regiment_mongo.budget import Budget
from regiment_mongo.claiming import Claims
from regiment_mongo.layout import Document
from regiment_mongo.ledger import Facts, Plan, Row, delivery
from regiment_mongo.spots import spots_of
from regiment_mongo.telling import Tells

TRIES = 12


class InLanes(Tells, Claims):
    """From settlement to answer, where tasks stand in lanes."""

    def execute_in_lanes(
        self,
        queue: str,
        row: Row,
        facts: Facts,
        turn: int,
        base: int,
        plan: Plan,
        limit: int,
        max_bytes: int,
        rested: bool,
    ) -> Taken:
        """As `_execute` does it without lanes, from the claim on; `rested`: it has listened and looked after the queue."""
        ended = [row.held[receipt] for receipt in plan.gone]
        batch: list[Document] = []
        budget: Budget | None = None
        for attempt in range(TRIES):
            tasks, budget = self.in_turn(queue, row, facts, plan, limit if attempt + 1 < TRIES else 0)
            if not tasks and limit > 0:
                # Listen first, then look again: no push, and no end, falls between.
                self.attend(row.id)
                if not rested:
                    self.watch(queue)
                    self._tend(queue, row, facts)
                    rested = True
                tasks, budget = self.in_turn(queue, row, facts, plan, limit if attempt + 1 < TRIES else 0)
            claimed = self._fitting(row, plan, tasks, base, max_bytes)
            try:
                batch = self._claim(row, turn, base, plan, claimed)
            except DuplicateKeyError as error:
                self._give_tokens_back(queue, budget, [])
                if "slots" not in str(error):
                    self._collided(facts, [item["t"] for item in claimed], limit)
                continue
            except Stale:
                self._give_tokens_back(queue, budget, [])
                raise
            plan = Plan(plan.lost, [], [])
            self._give_tokens_back(queue, budget, batch)
            if batch or not claimed:
                break
        assert budget is not None
        return self._answer(queue, row, facts, plan, budget, ended, batch, limit, rested)

    def _claim(self, row: Row, turn: int, base: int, plan: Plan, claimed: list[Document]) -> list[Document]:
        with self.together():
            self._write(row, turn, base, plan, claimed)
            batch = self._confirm(row, claimed)
            self.forward(row, stands=True)
        return batch

    def _answer(
        self,
        queue: str,
        row: Row,
        facts: Facts,
        plan: Plan,
        budget: Budget,
        ended: list[Document],
        batch: list[Document],
        limit: int,
        rested: bool,
    ) -> Taken:
        self._tell(queue, facts, len(batch))
        self.room_made(queue, budget.rules, ended, batch)
        facts.rested = rested and not batch
        told = facts.told.pop(row.id, None)
        due = self._until(facts)
        if batch:
            if told is not None:
                self.hand_over(queue, row.id)
        elif limit > 0 and budget.opens and not facts.paused:
            self.tell_one(queue, row, facts, min(budget.opens))
        opens = self.opens(queue, row.id.removeprefix(f"{queue} "))
        if opens is not None:
            due = min(due if due is not None else opens, max(0.0, opens - time.monotonic()))
        now = self.clock.now()
        return Taken(plan.lost, [delivery(item, now) for item in batch], due, facts.board)

    def _tell(self, queue: str, facts: Facts, taken: int) -> None:
        """Wake the others if more was promoted than was taken. Before the claim it would only set them against it."""
        if facts.untold > taken:
            self.poke(queue)
        facts.untold = 0

    def _until(self, facts: Facts) -> float | None:
        return None if facts.next is None else max(0.0, facts.next - time.monotonic())

    def _give_tokens_back(self, queue: str, budget: Budget, used: list[Document]) -> None:
        """What its rates let go, and was not leased."""
        tokens = budget.taken - Counter(key for item in used for key in spots_of(item) if key in budget.taken)
        budget.taken = Counter()
        self.refund(queue, budget.rules, tokens)
