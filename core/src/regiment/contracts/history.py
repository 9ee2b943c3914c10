"""The extra `history`: how often the tasks of a queue ended in which way, minute by minute and hour by hour.

A store that keeps the extra says so in `Capabilities(extras=frozenset({"history"}))`, and has the verbs of `Recording` beside those
of `Connector`. Keepers call `record` about once a minute for each queue in which anything ended, and never for one in which nothing
did; no task costs a request more. What is kept is bounded: by its age, and by `MOST_NAMES`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from regiment.contracts.store import Connector

HISTORY = "history"
"""The name of the extra."""
OUTCOMES = ("success", "failure", "timeout", "retry", "requeue", "expired", "cancelled", "dead")
"""How a task ended, by what becomes of it: after `failure`, `timeout`, `retry` and `requeue` it runs again, all others are over.
Stores keep counts by their place here: names may follow, and none is ever moved."""
STEPS = {"minute": 60, "hour": 3600, "ever": 0}
"""Seconds of a slice of each step; "ever" has one slice, which begins at 0."""
KEPT = {"minute": 25 * 3600, "hour": 31 * 86_400, "ever": 31 * 86_400}
"""Seconds for which a slice is kept after anything was added to it last."""
MOST_NAMES = 64
"""Names of tasks that are kept apart in one queue; what ends under others is added to `OTHER_NAMES`."""
OTHER_NAMES = "(others)"
SOURCE_KEPT = 2 * 86_400
"""Seconds for which a store remembers the last number of a source."""
Slices = dict[str, list[int]]
"""Name -> hour (since the epoch) of the last addition, milliseconds, counts in the order of `OUTCOMES`: a slice as stores may keep it."""


class Tallied(NamedTuple):
    """How the tasks of one name ended."""

    task: str
    counts: Sequence[int]
    """How many in each way, in the order of `OUTCOMES`."""
    ms: int = 0
    """For how many milliseconds they ran, together."""


class Past(NamedTuple):
    """What ended in one minute or hour, or ever."""

    queue: str
    at: int
    """When the slice begins: seconds since the epoch, by the store's clock."""
    ended: Sequence[Tallied]
    """By name, sorted."""


def added(kept: Mapping[str, Sequence[int]], more: Iterable[Tallied], at: float, names: Iterable[str] = ()) -> Slices:
    """A slice with more in it, at this time (seconds since the epoch). `names` are all that the queue has, those of its slice "ever"; of
    others only so many as `MOST_NAMES` has room for stay apart. A name that nothing was added to for as long as that slice is kept goes.
    """
    width, hour = len(OUTCOMES) + 2, int(at // 3600)
    oldest = hour - KEPT["ever"] // 3600
    found = {name: [*row, *[0] * (width - len(row))] for name, row in kept.items() if row[0] >= oldest}
    known = {*found, *names}
    for one in more:
        name = one.task if one.task in known or len(known) < MOST_NAMES else OTHER_NAMES
        known.add(name)
        row = found.setdefault(name, [0] * width)
        row[0] = hour
        for index, number in enumerate((one.ms, *one.counts), 1):
            row[index] += number
    return found


def past(queue: str, at: int, kept: Mapping[str, Sequence[float]]) -> Past:
    """A slice as it is returned; one that an older release has kept is filled up."""
    ended = []
    for name, row in sorted(kept.items()):
        _, ms, *counts = map(int, row)
        ended.append(Tallied(name, (*counts, *[0] * (len(OUTCOMES) - len(counts))), ms))
    return Past(queue, at, ended)


def refuse_wrong(ended: Sequence[Tallied]) -> None:
    """ValueError for what no store takes."""
    if len(ended) > MOST_NAMES:
        raise ValueError(f"{len(ended)} names of tasks in one call of record; expected {MOST_NAMES} at most")
    for one in ended:
        if len(one.counts) != len(OUTCOMES) or min(one.ms, *one.counts) < 0:
            raise ValueError(f"{one!r} in record; expected {len(OUTCOMES)} counts, and milliseconds, none below 0")


@runtime_checkable
class Recording(Connector, Protocol):
    """A connector with the extra `history`."""

    def record(self, queue: str, source: str, number: int, ended: Sequence[Tallied]) -> bool:
        """Add what ended since the last call to the present minute, the present hour and to all that ever was, each once: a `source` numbers its
        calls from 1 on, one after the other, and a number that is not above the last one taken from it changes nothing. So what is repeated after
        a lost answer counts once. True if it was added. History makes no queue exist. `ValueError` for more than `MOST_NAMES` names,
        or a number below 0.
        """

    def history(self, queues: Sequence[str], step: Literal["minute", "hour", "ever"], seconds: float) -> Sequence[Past]:
        """The slices of these queues that begin in the last so many seconds, or are not over since; by queue in this order, the oldest first. Those in
        which nothing ended are left out. "ever" ignores `seconds`. Changes nothing.
        """
