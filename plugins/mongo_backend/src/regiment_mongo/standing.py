"""How spots stand. What waits and what runs is counted from the tasks themselves, so no count can be wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from regiment.contracts import FOREVER, Rule, Spot, Standing, Ticket
from regiment_mongo.layout import Document
from regiment_mongo.rates import Rates, interval
from regiment_mongo.ruling import LEAST
from regiment_mongo.spots import Rules, pool_range, spot_key, spot_of, spots_of, ticket_in


class Standings(Rates):
    """For those who look."""

    def flow(self, queue: str, spots: Sequence[Spot]) -> Sequence[Standing]:
        rules, now = self._rules_now(queue), self.server_time()
        running = self._running(queue) if spots else Counter()
        tats = self._tats(queue, rules, spots)
        return [self._stands(queue, spot, rules, running, tats, now) for spot in spots]

    def standings(
        self, queue: str, limit: int = 100, *, pool: str | None = None, after: Spot | None = None
    ) -> Sequence[Standing]:
        if limit <= 0:
            return []
        rules, now, running = self._rules_now(queue), self.server_time(), self._running(queue)
        known = {spot_of(key) for key in (*rules.own, *running)}
        known |= {spot_of(key) for key, until in rules.gates.items() if until > now}
        if pool is None:
            known = {spot for spot in known if not spot[1]} | {
                (name, "") for name, _ in self._lanes_waiting(queue, None)
            }
            if ("", "") not in known and self._count(queue, ("", "")):
                known.add(("", ""))
        else:
            known = {spot for spot in known if spot[0] == pool and spot[1]}
            known |= {spot for spot in self._lanes_waiting(queue, pool) if spot[1]}
        page = sorted(spot for spot in known if after is None or spot > after)[:limit]
        tats = self._tats(queue, rules, page)
        return [self._stands(queue, spot, rules, running, tats, now) for spot in page]

    def recount(self, queue: str) -> Sequence[tuple[Spot, int, int]]:
        return []

    def ticket(self, queue: str, payload: bytes) -> Ticket | None:
        held = self._consumers.find({"q": queue, "h": {"$gt": 0}}, {"held": 1}, hint="deadline")
        found = next((item for one in held for item in one["held"][1:] if item["b"] == payload), None)
        if found is None:
            found = self._tasks.find_one({"q": queue, "at": {"$gte": 0}, "b": payload}, hint="delayed")
        for part in self.by_priority(queue) if found is None else ():
            found = self._tasks.find_one({"q": queue, "p": part, "s": {"$gte": 0}, "b": payload}, hint="ready")
            if found is not None:
                break
        return None if found is None else ticket_in(found)

    def _rules_now(self, queue: str) -> Rules:
        row = self._queues.find_one({"_id": queue}, {"fl": 1})
        return self.read_rules(queue, 0 if row is None else row.get("fl", 0))

    def _stands(
        self, queue: str, spot: Spot, rules: Rules, running: Counter[str], tats: dict[str, float], now: int
    ) -> Standing:
        key = spot_key(spot)
        own, rule, gate = rules.own.get(key), rules.of(key), rules.gates.get(key, 0.0)
        return Standing(
            spot,
            self._count(queue, spot),
            running[key],
            rule,
            "" if own is None else own.source,
            "" if own is None else own.by,
            FOREVER if gate == FOREVER else max(0.0, (gate - now) / 1000),
            _until(rule, tats.get(key), now),
        )

    def _count(self, queue: str, spot: Spot, most: int | None = None) -> int:
        """Ready and delayed tasks of a spot; no more than `most` are counted."""
        options: Any = {} if most is None else {"limit": most}
        if (spot[0] or spot[1]) and not self.has_lanes():
            return 0
        if spot[1]:
            return int(self._tasks.count_documents({"q": queue, "l": spot_key(spot)}, hint="lanes", **options))
        if spot[0]:
            begin, end = pool_range(spot[0])
            return int(
                self._tasks.count_documents({"q": queue, "l": {"$gte": begin, "$lt": end}}, hint="lanes", **options)
            )
        parts: list[tuple[Document, str]] = [({"at": {"$gte": 0}}, "delayed")]
        parts += [
            ({"p": {"$gte": low}, "s": {"$gte": 0}}, "ready") for low in ((LEAST, "") if self._flows else (LEAST,))
        ]
        return sum(int(self._tasks.count_documents({"q": queue, **part}, hint=hint, **options)) for part, hint in parts)

    def _running(self, queue: str) -> Counter[str]:
        """By spot: what is leased."""
        query = {"q": queue, "h": {"$gt": 0}, "hand": {"$exists": False}}
        found = self._consumers.find(query, {"held.l": 1}, hint="deadline")
        return Counter(key for one in found for item in one["held"][1:] for key in spots_of(item))

    def _lanes_waiting(self, queue: str, pool: str | None) -> list[Spot]:
        """The lanes of a pool that have something, or the pools."""
        if not self.has_lanes():
            return []
        query: Document = {"q": queue, "l": {"$gte": ""}}
        if pool is not None:
            begin, end = pool_range(pool)
            query["l"] = {"$gte": begin, "$lt": end}
        stages = [{"$match": query}, {"$group": {"_id": "$l"}}]
        spots = [spot_of(found["_id"]) for found in self._tasks.aggregate(stages, hint="lanes")]
        return spots if pool is not None else sorted({(name, "") for name, _ in spots})

    def _tats(self, queue: str, rules: Rules, spots: Iterable[Spot]) -> dict[str, float]:
        keys = [key for spot in spots if (rule := rules.of(key := spot_key(spot))) is not None and rule.rate]
        if not keys:
            return {}
        found = self._rates.find({"_id": {"$in": [f"{queue} {key}" for key in keys]}}, {"tat": 1})
        return {row["_id"][len(queue) + 1 :]: row["tat"] for row in found}


def _until(rule: Rule | None, tat: float | None, now: int) -> float:
    if rule is None or rule.rate is None or tat is None:
        return 0.0
    return max(0.0, (tat - (rule.burst - 1) * interval(rule) - now) / 1000)
