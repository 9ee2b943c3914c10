"""What "failed" means, wherever it is said: by `regiment run` at its end, by `top`, by the dashboard, by what is told of metrics."""

from __future__ import annotations

from collections.abc import Sequence

from regiment.contracts import OUTCOMES

FAILED = ("failure", "timeout", "dead")
"""Outcomes of a run that failed: it raised or was too late, and its task runs again (the first two) or is a dead letter. So a task that
fails twice and then succeeds has failed twice, and is done once."""
PLACES = tuple(OUTCOMES.index(outcome) for outcome in FAILED)
"""Where they stand among the counts of a task."""


def failed(counts: Sequence[int]) -> int:
    """How many runs failed; `counts` in the order of `OUTCOMES`."""
    return sum(counts[place] for place in PLACES)
