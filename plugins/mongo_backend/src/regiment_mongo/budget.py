"""What one exchange may lease of each spot. Nothing here speaks to a store.

**Numbers.** Of a spot with `at_once` each task that runs holds a number, which stands in its consumer's document (`slots`); a unique index lets
no two documents list one. A claim takes numbers below `bound`: the largest b for which b and the tasks that run beyond it, with a
number from b on or without one, are together no more than `at_once`. What runs beyond only becomes less, so a reading that is old is
too strict and never too lax; and of two who take the same number, the index refuses one.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from regiment_mongo.layout import Document
from regiment_mongo.spots import Rules, spots_of


def bound(at_once: int, numbers: set[int], numberless: int) -> int:
    """Below which number a claim may take one."""
    found = at_once
    while found > 0 and found + numberless + sum(number >= found for number in numbers) > at_once:
        found -= 1
    return found


class Taken:
    """Who runs: by spot the numbers that are held, and how many tasks run without one."""

    def __init__(self) -> None:
        self.numbers: defaultdict[str, set[int]] = defaultdict(set)
        self.numberless: Counter[str] = Counter()

    def number(self, slots: Iterable[str], start: int) -> None:
        """Numbers as they are stored, behind the name of their queue."""
        for slot in slots:
            key, _, number = slot[start:].rpartition("\0")
            self.numbers[key].add(int(number))

    def items(self, items: Iterable[Document], start: int, rules: Rules) -> None:
        """Tasks that run, with their numbers."""
        for item in items:
            slots = item.get("x", ())
            self.number(slots, start)
            having = {slot[start:].rpartition("\0")[0] for slot in slots}
            for key in spots_of(item):
                rule = rules.of(key)
                if key not in having and rule is not None and rule.at_once:
                    self.numberless[key] += 1


class Budget:
    """What may be leased, and what is chosen so far."""

    def __init__(
        self, queue: str, rules: Rules, now: float, slots: int, mine: Iterable[Document], taken: Taken
    ) -> None:
        self.queue, self.rules, self.now, self._slots = queue, rules, now, slots
        self._mine = Counter(key for item in mine for key in spots_of(item))
        self._taken = taken
        self._free: dict[str, list[int]] = {}
        self.tokens: Counter[str] = Counter()
        """By spot: leases that its rate has let go and nobody has used."""
        self.taken: Counter[str] = Counter()
        """The same, used or not."""
        self.opens: list[float] = []
        """When something that is closed now opens, in the server's milliseconds."""
        self.shut: dict[str, float] = {}
        """By spot: until when its rate lets nothing go."""

    def room(self, key: str) -> int:
        """How many more this spot lets go, but for its rate."""
        gate = self.rules.gates.get(key, 0.0)
        if gate > self.now:
            if gate != float("inf"):
                self.opens.append(gate)
            return 0
        rule = self.rules.of(key)
        if rule is None or not (rule.at_once or rule.rate):
            return 1 << 30
        left = self._slots - self._mine[key]
        if rule.at_once:
            left = min(left, len(self._numbers(key, rule.at_once)))
        if rule.rate and left > 0 and not self.tokens[key] and self.shut.get(key, 0.0) > self.now:
            self.opens.append(self.shut[key])
            return 0
        return max(0, left)

    def _numbers(self, key: str, at_once: int) -> list[int]:
        """Numbers of this spot that may be taken, in no order: so two who choose at the same time seldom choose the same."""
        if key not in self._free:
            numbers = self._taken.numbers[key]
            most = bound(at_once, numbers, self._taken.numberless[key])
            self._free[key] = [number for number in range(most) if number not in numbers]
            random.shuffle(self._free[key])
        return self._free[key]

    def rated(self, spots: Sequence[str]) -> list[str]:
        """Those of the spots that have a rate."""
        return [key for key in spots if (rule := self.rules.of(key)) is not None and rule.rate]

    def spend(self, item: Document) -> None:
        """Charge a task to its spots: it has its numbers then."""
        numbers = []
        item.pop("x", None)
        for key in spots_of(item):
            self._mine[key] += 1
            rule = self.rules.of(key)
            if rule is None:
                continue
            if rule.at_once:
                numbers.append(f"{self.queue} {key}\0{self._numbers(key, rule.at_once).pop()}")
            if rule.rate:
                self.tokens[key] -= 1
        if numbers:
            item["x"] = numbers
