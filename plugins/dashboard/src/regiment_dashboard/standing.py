"""What one look at the store has seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from regiment.contracts import Counts, Finding
from regiment_cli.serving import Tree
from regiment_dashboard.trends import Trends


class Standing(NamedTuple):
    """How a queue is."""

    counts: Counts
    workers: int
    rate: float
    curve: tuple[int, ...]
    """What was ready or ran at each look, the newest last."""


class Seen(NamedTuple):
    """What the last look has seen."""

    version: int
    """Another number for each change."""
    at: float
    """When the store answered last, in seconds since the epoch; 0: never."""
    problem: str = ""
    """Why it does not answer; empty if it does."""
    queues: Mapping[str, Standing] = {}
    trees: Sequence[Mapping[str, Any]] = ()
    known: Sequence[Tree] = ()
    """The living ones of them."""
    findings: Sequence[Finding] = ()
    """What needs attention, the worst first."""
    trends: Trends = {}
    """What ended in the last hour and day; empty if the store keeps no history."""
