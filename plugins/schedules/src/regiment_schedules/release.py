"""Which tree decides what a schedule from code says: the newest release that is alive (T7)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple


class Release(NamedTuple):
    """The release of a tree: what REGIMENT_RELEASE says, when it started, and which tree it is ("host:pid")."""

    release: str
    started: float
    by: str

    def data(self) -> dict[str, Any]:
        """As a row has it."""
        return self._asdict()


def of(data: Mapping[str, Any]) -> Release:
    """The release that stands in a row."""
    return Release(str(data.get("release", "")), float(data.get("started", 0.0)), str(data.get("by", "")))


def order(one: Release) -> tuple[Any, ...]:
    """What sorts releases: numbers in them as numbers, so that 1.10 comes after 1.9; then by their start."""
    parts = [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in re.findall(r"\d+|\D+", one.release)]
    return (parts, one.started)


def alive(one: Release, presence: Iterable[bytes]) -> bool:
    """True if a tree of this release is present at the store; where none is named, if this very tree is."""
    for value in presence:
        try:
            tree = json.loads(value)
            here = f"{tree['host']}:{tree['pid']}"
        except (ValueError, KeyError, TypeError):
            continue
        if here == one.by or (one.release and tree.get("release") == one.release):
            return True
    return False
