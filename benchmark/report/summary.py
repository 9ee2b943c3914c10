"""Many measurements become one figure each: the median of the rounds, with the least and the greatest; of the many turns of a
quick run the mean of the middle half, with the quartiles.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from benchmark.measure.places import ABSENT
from benchmark.peers.system import ON, System, Variant
from benchmark.report.journal import Record


class Figure(NamedTuple):
    """One figure over the rounds. `median` is None where what was waited for did not happen in any round. Of `MANY` or more it is
    the mean of the middle half, and `least` and `most` are the quartiles (`docs/benchmark.md`, "How far two runs agree").
    """

    median: float | None
    least: float | None
    most: float | None
    rounds: int


MANY = 10

Key = tuple[str, str, str, str]
"""System, variant, phase, name of the figure."""


class Summary:
    """All figures of a run."""

    def __init__(self, records: Iterable[Record]) -> None:
        self.machine: dict[str, Any] = {}
        self.versions: dict[str, dict[str, str]] = {}
        self.failed: dict[tuple[str, str, str], str] = {}
        self.absent: set[tuple[str, str]] = set()
        """System and variant of what has no server here."""
        self.dates: list[str] = []
        found: dict[Key, list[float | None]] = defaultdict(list)
        for record in records:
            phase, figures = record["phase"], record.get("figures", {})
            self.dates.append(record["at"])
            if phase == "machine":
                self.machine = figures
            elif phase == "versions":
                self.versions[record["system"]] = figures or {"left out": record["error"]}
            elif phase == "failed":
                self.failed[record["system"], record["variant"], record["group"]] = record["error"]
                if record["error"].startswith(ABSENT):
                    self.absent.add((record["system"], record["variant"]))
            elif phase != "end":
                for name, value in figures.items():
                    found[record["system"], record["variant"], phase, name].append(value)
        self.figures = {key: _figure(values) for key, values in found.items()}

    def get(self, system: str, variant: str, phase: str, name: str) -> Figure | None:
        """A figure, or None if it was not measured."""
        return self.figures.get((system, variant, phase, name))

    def median(self, system: str, variant: str, phase: str, name: str) -> float | None:
        """Its median, or None."""
        figure = self.get(system, variant, phase, name)
        return figure.median if figure else None

    def ratio(self, system: str, variant: Variant, other: str, phase: str, name: str) -> float | None:
        """To the figure of regiment or of the limit on the same store, one task at a time."""
        mine = self.median(system, variant.title, phase, name)
        base = self.median(other, f"{variant.store} 1{variant.behind}", phase, name)
        return mine / base if mine is not None and base else None

    def rows(self, all_systems: Iterable[System]) -> Iterator[tuple[System, Variant]]:
        """What was measured, in the order of the systems."""
        measured = {key[:2] for key in self.figures} | {key[:2] for key in self.failed}
        releases = sorted({title.rpartition(ON)[2] for _, title in measured if ON in title})
        for system in all_systems:
            for variant in system.variants:
                for one in (variant, *(replace(variant, release=release) for release in releases)):
                    if (system.name, one.title) in measured:
                        yield system, one

    def plain(self) -> dict[str, Any]:
        """As data."""
        return {
            "machine": self.machine,
            "from": min(self.dates, default=""),
            "to": max(self.dates, default=""),
            "versions": self.versions,
            "failed": [{"system": s, "variant": v, "group": g, "error": e} for (s, v, g), e in self.failed.items()],
            "figures": [
                {"system": s, "variant": v, "phase": p, "name": n, **figure._asdict()}
                for (s, v, p, n), figure in self.figures.items()
            ],
        }


def _figure(values: list[float | None]) -> Figure:
    known = [value for value in values if value is not None]
    if len(known) <= len(values) // 2:  # more often never than at some time
        return Figure(None, min(known, default=None), None, len(values))
    if len(known) < MANY:
        return Figure(statistics.median(known), min(known), max(known), len(values))
    quarter = len(known) // 4
    middle = statistics.fmean(sorted(known)[quarter : len(known) - quarter])
    least, _, most = statistics.quantiles(known, n=4)
    return Figure(middle, least, most, len(values))
