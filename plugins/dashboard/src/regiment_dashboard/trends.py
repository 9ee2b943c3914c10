"""What ended in the last hour and the last day, by minute and by hour, from the history that a store keeps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from regiment.broker import extras
from regiment.contracts import HISTORY, OUTCOMES, STEPS, Connector, Past, Tallied
from regiment_cli.failing import failed

ALL = ""
"""The name under which all queues together are."""
SPANS: Mapping[str, tuple[Literal["minute", "hour"], int]] = {"hour": ("minute", 60), "day": ("hour", 24)}
"""Span -> the step of its bars, and how many it has."""


class Row(NamedTuple):
    """How the tasks of one name ended."""

    task: str
    done: int
    failed: int
    dead: int
    """How many of those that failed are dead letters."""
    other: int
    """Retried or put back by themselves, expired, cancelled."""
    mean: float | None
    """Seconds of a run; None if none ran."""


class Trend(NamedTuple):
    """What ended in one span."""

    step: str
    bars: Sequence[tuple[int, int]]
    """Done and failed in each minute or hour, the present one last."""
    rows: Sequence[Row]
    """By task, those that failed most first, then those that ended most."""

    @property
    def done(self) -> int:
        """How many succeeded."""
        return sum(done for done, _ in self.bars)

    @property
    def failed(self) -> int:
        """How often a task failed."""
        return sum(bad for _, bad in self.bars)


Trends = Mapping[str, Mapping[str, Trend]]
"""Queue, or `ALL` -> span -> what ended."""


def read(store: Connector, queues: Sequence[str], now: float) -> Trends:
    """The trends of these queues; empty if the store keeps no history."""
    if HISTORY not in extras(store):
        return {}
    found: dict[str, dict[str, Trend]] = {}
    for span, (step, number) in SPANS.items():
        slices = store.history(queues, step, number * STEPS[step])  # type: ignore[attr-defined]
        found.setdefault(ALL, {})[span] = trend(slices, span, now)
        each = dict[str, list[Past]]()
        for one in slices:
            each.setdefault(one.queue, []).append(one)
        for queue in queues:
            found.setdefault(queue, {})[span] = trend(each.get(queue, ()), span, now)
    return found


def trend(slices: Iterable[Past], span: str, now: float) -> Trend:
    """What these slices say of a span that ends now, or with the last of them if the store's clock is ahead."""
    step, number = SPANS[span]
    length, slices = STEPS[step], list(slices)
    last = max([int(now // length), *(one.at // length for one in slices)])
    bars, tasks = [(0, 0)] * number, dict[str, list[Tallied]]()
    for one in slices:
        index = one.at // length - last + number - 1
        if index >= 0:
            done, bad = bars[index]
            bars[index] = (done + sum(map(_done, one.ended)), bad + sum(map(_failed, one.ended)))
            for task in one.ended:
                tasks.setdefault(task.task, []).append(task)
    rows = sorted(
        (_row(name, each) for name, each in tasks.items()), key=lambda row: (-row.failed, -row.done, row.task)
    )
    return Trend(step, bars, rows)


def _row(name: str, each: Sequence[Tallied]) -> Row:
    counts = {outcome: sum(one.counts[at] for one in each) for at, outcome in enumerate(OUTCOMES)}
    done, bad = sum(map(_done, each)), sum(map(_failed, each))
    total, ms = sum(counts.values()), sum(one.ms for one in each)
    mean = ms / 1000 / total if total else None
    return Row(name, done, bad, counts["dead"], total - done - bad, mean)


def _done(one: Tallied) -> int:
    return one.counts[OUTCOMES.index("success")]


def _failed(one: Tallied) -> int:
    return failed(one.counts)
