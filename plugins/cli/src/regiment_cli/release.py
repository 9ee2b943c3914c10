"""Which tree decides what code says (its schedules, its limits): the newest release that is alive (T7)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple


class Release(NamedTuple):
    """The release of a tree: what REGIMENT_RELEASE says, when it started, and which tree it is ("host:pid")."""

    release: str
    started: float
    by: str

    def data(self) -> dict[str, Any]:
        """As a record has it."""
        return self._asdict()


def of(data: Mapping[str, Any]) -> Release:
    """The release that stands in a record."""
    return Release(str(data.get("release", "")), float(data.get("started", 0.0)), str(data.get("by", "")))


def order(one: Release) -> tuple[Any, ...]:
    """What sorts releases: numbers in them as numbers, so that 1.10 comes after 1.9; then by their start."""
    return (_parts(one.release), one.started)


def _parts(release: str) -> list[tuple[int, int, str]]:
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in re.findall(r"\d+|\D+", release)]


def newer(one: Release, other: Release) -> bool:
    """True if this is a release of its own that came later; where it names none, if it started later."""
    return _parts(one.release) > _parts(other.release) if one.release else one.started > other.started


def newest(one: Release, presence: Iterable[bytes]) -> str:
    """The newest of the releases that this and the trees that are present name; empty if none of them names one."""
    return max([one.release, *(str(tree.get("release", "")) for tree in _trees(presence))], key=_parts)


def alive(one: Release, presence: Iterable[bytes]) -> bool:
    """True if a tree of this release is present at the store; where none is named, if this very tree is."""
    return any(
        f"{tree['host']}:{tree['pid']}" == one.by or (one.release and tree.get("release") == one.release)
        for tree in _trees(presence)
    )


def _trees(presence: Iterable[bytes]) -> Iterator[Mapping[str, Any]]:
    """What trees say of themselves; what is not like that is none."""
    for value in presence:
        try:
            tree = json.loads(value)
            if "host" in tree and "pid" in tree:
                yield tree
        except (ValueError, TypeError):
            continue
