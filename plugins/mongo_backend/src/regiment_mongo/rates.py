"""Rates: GCRA in one guarded update by the server's clock, and what is given back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from pymongo.errors import PyMongoError

from regiment.contracts import Rule
from regiment_mongo.layout import Document
from regiment_mongo.moments import NOW
from regiment_mongo.ruling import Ruled
from regiment_mongo.spots import Rules, spots_of

KEPT = 60_000
"""Milliseconds for which a rate is remembered after its time."""
LATE = 1_000
"""Milliseconds of lateness that a rate makes up for at most, and never more than three quarters of a step (L6)."""


def interval(rule: Rule) -> float:
    """Milliseconds of one lease of a rate."""
    assert rule.rate is not None
    return rule.rate[1] * 1000 / rule.rate[0]


def take(rule: Rule, wanted: int) -> list[Document]:
    """GCRA as an update: `k` of `wanted` leases may go now, and `tat` is the time of the last one. It is never further ahead than the
    burst allows, so a clock that is set back closes nothing for long; and never further behind than what is made up for.
    """
    each = interval(rule)
    now: Any = {"$toDouble": NOW}
    latest = {"$add": [now, rule.burst * each]}
    since = {"$subtract": [now, min(each * 0.75, LATE)]}
    base = {"$min": [{"$max": [{"$ifNull": ["$tat", now]}, since]}, latest]}
    fits = {"$floor": {"$add": [{"$divide": [{"$subtract": [latest, "$tat"]}, each]}, 1e-9]}}
    return [
        {"$set": {"tat": base, "now": NOW}},
        {"$set": {"k": {"$max": [0, {"$min": [wanted, fits]}]}}},
        {"$set": {"tat": {"$add": ["$tat", {"$multiply": ["$k", each]}]}}},
        {"$set": {"ex": {"$toDate": {"$toLong": {"$add": ["$tat", KEPT]}}}}},
    ]


class Rates(Ruled):
    """How often something may run."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._shut: dict[str, dict[str, float]] = {}
        """By queue and spot: until when a rate lets nothing go, in the server's milliseconds."""

    def refund(self, queue: str, rules: Rules, tokens: Mapping[str, int]) -> None:
        """Give leases back to their rates; once: what fails may have been done, and is lost."""
        for key, number in tokens.items():
            rule = rules.of(key)
            if number > 0 and rule is not None and rule.rate:
                less = {"$subtract": ["$tat", number * interval(rule)]}
                change = {"q": {"_id": f"{queue} {key}"}, "u": [{"$set": {"tat": less}}]}
                with suppress(PyMongoError):
                    self.ask({"update": self._rates.name, "updates": [change]})
                self._shut.get(queue, {}).pop(key, None)

    def refund_items(self, queue: str, version: int, items: Iterable[Document]) -> None:
        """The same for tasks that go back as if never leased."""
        if version:
            self.refund(queue, self.rules_of(queue, version), Counter(key for item in items for key in spots_of(item)))
