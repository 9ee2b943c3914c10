"""Numbers and rates in the store: what a claim asks for before it is written, and what is given back.

A token of a rate is taken before the claim and never given back twice: a process that dies in between loses it, and none is gained.
"""

from __future__ import annotations

from collections.abc import Iterable

from pymongo.errors import DuplicateKeyError

from regiment_mongo.budget import Budget, Taken
from regiment_mongo.layout import Document
from regiment_mongo.ledger import Facts, Plan, Row
from regiment_mongo.rates import interval, take
from regiment_mongo.spots import Rules
from regiment_mongo.tending import Tends


class Budgets(Tends):
    """What may run."""

    def budget(self, queue: str, row: Row, facts: Facts, plan: Plan) -> Budget:
        """What a claim of this consumer may lease now."""
        rules = self.rules_of(queue, facts.flow)
        gone = set(plan.gone)
        mine = [item for receipt, item in row.held.items() if receipt not in gone]
        taken = self._who_runs(queue, row, mine, rules) if rules.counts else Taken()
        budget = Budget(queue, rules, self.clock.now(), self.slots(row), mine, taken)
        shut = self._shut.get(queue, {})
        budget.shut = self._shut[queue] = {key: until for key, until in shut.items() if until > budget.now}
        return budget

    def slots(self, row: Row) -> int:
        """How many tasks this consumer runs at a time, as it said when it joined."""
        return self._terms.get(row.id, row.slots or 1)

    def _who_runs(self, queue: str, row: Row, mine: Iterable[Document], rules: Rules) -> Taken:
        """The numbers that are held. While tasks may run that were leased before a rule and so have none, all are counted."""
        taken, start = Taken(), len(queue) + 1
        if rules.numberless:
            query: Document = {"q": queue, "h": {"$gt": 0}, "_id": {"$ne": row.id}, "hand": {"$exists": False}}
            for document in self._consumers.find(query, {"held.l": 1, "held.x": 1}, hint="deadline"):
                taken.items(document["held"][1:], start, rules)
        else:
            query = {"slots": {"$gte": f"{queue} ", "$lt": f"{queue}!"}}
            for document in self._consumers.find(query, {"slots": 1}, hint="slots"):
                if document["_id"] != row.id:
                    taken.number((s for s in document["slots"] if s.startswith(f"{queue} ")), start)
        taken.items(mine, start, rules)
        if not taken.numberless:
            rules.numberless = False
        return taken

    def ask_rates(self, budget: Budget, keys: Iterable[str], wanted: int) -> int:
        """How many of `wanted` these spots' rates let go. What one lets go and another does not stays in `tokens`."""
        for key in keys:
            lacking = wanted - budget.tokens[key]
            if lacking > 0:
                got = self._take_tokens(budget, key, lacking)
                budget.tokens[key] += got
                budget.taken[key] += got
                wanted = min(wanted, budget.tokens[key])
        return wanted

    def _take_tokens(self, budget: Budget, key: str, wanted: int) -> int:
        rule = budget.rules.of(key)
        assert rule is not None
        asked: Document = {
            "findAndModify": self._rates.name,
            "query": {"_id": f"{budget.queue} {key}"},
            "update": take(rule, wanted),
            "upsert": True,
            "new": True,
        }
        while True:
            try:
                row = self.ask(dict(asked))["value"]
                break
            except DuplicateKeyError:
                continue  # two made it at the same moment
        got = int(row["k"])
        if got < wanted:
            opens = float(row["tat"]) - (rule.burst - 1) * interval(rule)
            budget.shut[key] = opens
            budget.opens.append(opens)
        return got
