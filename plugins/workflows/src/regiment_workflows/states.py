"""How a flow stands, as its handle tells: plain data for people and programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Progress(NamedTuple):
    """How far a flow is."""

    done: int
    """Steps and groups that have ended."""
    steps: int
    arrived: int
    """Members of groups that have ended, or count as if."""
    members: int
    failed: int
    """Steps and members that have failed for good and hold the flow up; of a group at most the first 100 of each chunk."""


class Step(NamedTuple):
    """How one node of a flow stands."""

    name: str
    kind: str
    """step, group or gate"""
    task: str
    queue: str
    state: str
    """waiting (for others), running (or in its queue), success, failed, skipped"""
    needs: Sequence[str]
    arrived: int = 0
    members: int | None = None
    failed: int = 0
    seconds: float | None = None
