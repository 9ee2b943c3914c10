"""Time zones: from the package tzdata first, so that hosts with the same release of it agree, whatever their system has."""

from __future__ import annotations

import os
import re
from bisect import bisect_right
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from regiment.errors import ConfigError, nearest

SAMPLE = 6 * 3600
"""Seconds between two looks for a change of offset. No zone has changed back within so short a time."""
_NAME = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+){0,3}")


def version() -> str:
    """The release of the zone data here: "2025b"; empty if it is not known."""
    try:
        import tzdata  # type: ignore[import-untyped]

        return str(tzdata.IANA_VERSION)
    except ImportError:
        return ""


@lru_cache(512)
def zone(name: str) -> ZoneInfo:
    """The zone of this name; `ConfigError` with the nearest name if there is none."""
    if isinstance(name, str) and _NAME.fullmatch(name):
        try:
            import tzdata

            with open(os.path.join(os.path.dirname(tzdata.__file__), "zoneinfo", *name.split("/")), "rb") as file:
                return ZoneInfo.from_file(file, key=name)
        except (OSError, ImportError, ValueError):
            try:
                return ZoneInfo(name)
            except (ZoneInfoNotFoundError, ValueError, OSError):
                pass
    known = sorted(available_timezones())
    raise ConfigError(
        f"tz is {name!r}, which is no zone known here.{nearest(str(name), known)} "
        'Expected a name of the IANA database, such as "Europe/Berlin"'
    )


class Segment(NamedTuple):
    """A time in which a zone's offset does not change: from `start` to before `end` (seconds since the epoch)."""

    start: int
    end: int
    offset: int
    before: int
    """The offset just before `start`."""


class Offsets:
    """The offsets of one zone, as segments. A year ends a segment, too: nothing is looked at beyond what is asked for."""

    def __init__(self, name: str) -> None:
        self.zone = zone(name)
        self._years: dict[int, tuple[list[int], list[Segment]]] = {}

    def at(self, second: int) -> int:
        """Seconds east of UTC at this second."""
        shift = datetime.fromtimestamp(second, self.zone).utcoffset()
        return 0 if shift is None else shift.days * 86_400 + shift.seconds

    def segment(self, second: int) -> Segment:
        """The segment in which this second lies."""
        year = datetime.fromtimestamp(second, UTC).year
        if year not in self._years:
            segments = self._of(year)
            self._years[year] = [one.start for one in segments], segments
        starts, segments = self._years[year]
        return segments[bisect_right(starts, second) - 1]

    def _of(self, year: int) -> list[Segment]:
        first, end = _epoch(year), _epoch(year + 1)
        found, start, before, offset = [], first, self.at(first - 1), self.at(first)
        for look in [*range(first + SAMPLE, end, SAMPLE), end - 1]:
            after = self.at(look)
            if after != offset:
                low, high = look - SAMPLE, look
                while high - low > 1:
                    middle = (low + high) // 2
                    low, high = (low, middle) if self.at(middle) == after else (middle, high)
                found.append(Segment(start, high, offset, before))
                start, before, offset = high, offset, after
        return [*found, Segment(start, end, offset, before)]


def _epoch(year: int) -> int:
    return int(datetime(year, 1, 1, tzinfo=UTC).timestamp())


@lru_cache(512)
def offsets(name: str) -> Offsets:
    """The offsets of a zone, looked up once in a process."""
    return Offsets(name)
