"""Which ticks a schedule has: those of its expression or its period, from `start` to `end`, without days off."""

from __future__ import annotations

import math
import zlib
from collections.abc import Collection
from datetime import UTC, date, datetime, time, timedelta

from regiment_schedules.cron import Cron
from regiment_schedules.zones import zone

MOST_DAYS = 4000
"""Days off in a row after which there is no next tick."""


class Ticks:
    """A set of times (seconds since the epoch), the same whoever asks, from wherever and in either direction."""

    def __init__(
        self,
        cron: str | None = None,
        every: float | None = None,
        *,
        tz: str = "UTC",
        start: float | None = None,
        end: float | None = None,
        off: Collection[str] = (),
    ) -> None:
        self._cron = None if cron is None else Cron(cron, tz)
        self._every = None if every is None else _ms(every)
        self._base = 0 if start is None else _ms(start)
        self._start, self._end, self._off, self._zone = start, end, frozenset(off), zone(tz)

    def after(self, time: float) -> float | None:
        """The first tick later than this; None if there is none (any more)."""
        if self._start is not None and time < self._start:
            time = self._start - 0.001
        found = self._after(time)
        for _ in range(MOST_DAYS):
            if found is None or (self._end is not None and found > self._end):
                return None
            day = self._day_off(found)
            if day is None:
                return found
            found = self._after(max(found, self._midnight(day + timedelta(days=1)) - 0.001))
        return None

    def last(self, time: float) -> float | None:
        """The latest tick not later than this; None if there was none."""
        if self._end is not None and time > self._end:
            time = self._end
        found = self._last(time)
        for _ in range(MOST_DAYS):
            if found is None or (self._start is not None and found < self._start):
                return None
            day = self._day_off(found)
            if day is None:
                return found
            found = self._last(min(found, self._midnight(day)) - 0.001)
        return None

    def between(self, since: float, until: float, most: int = 100_000) -> list[float]:
        """The ticks later than `since` and not later than `until`, at most so many, the earliest first."""
        out: list[float] = []
        found = self.after(since)
        while found is not None and found <= until and len(out) < most:
            out.append(found)
            found = self.after(found)
        return out

    def newest(self, since: float, until: float, most: int) -> list[float]:
        """The same, but the latest ones."""
        out: list[float] = []
        found = self.last(until)
        while found is not None and found > since and len(out) < most:
            out.append(found)
            found = self.last(found - 0.001)
        return out[::-1]

    def _after(self, time: float) -> float | None:
        if self._cron is not None:
            return self._cron.after(math.floor(time))
        assert self._every is not None
        return (self._base + ((_ms(time) - self._base) // self._every + 1) * self._every) / 1000

    def _last(self, time: float) -> float | None:
        if self._cron is not None:
            return self._cron.last(math.floor(time))
        assert self._every is not None
        return (self._base + (_ms(time) - self._base) // self._every * self._every) / 1000

    def _day_off(self, tick: float) -> date | None:
        if not self._off:
            return None
        day = datetime.fromtimestamp(tick, self._zone).date()
        return day if day.isoformat() in self._off else None

    def _midnight(self, day: date) -> float:
        return datetime.combine(day, time(), self._zone).timestamp()


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def jitter(name: str, tick: float, most: float) -> float:
    """Seconds from 0 to `most` by which this tick is late: a hash, so that all agree."""
    return most * fraction(f"{name}@{tick:.3f}")


def fraction(text: str) -> float:
    """A number from 0 to 1 that is always the same for a text."""
    return zlib.crc32(text.encode()) / 2**32


def written(tick: float) -> str:
    """A tick as ids have it: 20261129T080000Z, with milliseconds only if it has some."""
    whole, part = divmod(_ms(tick), 1000)
    text = datetime.fromtimestamp(whole, UTC).strftime("%Y%m%dT%H%M%S")
    return f"{text}.{part:03}Z" if part else f"{text}Z"


def read(text: str) -> datetime:
    """The tick of an id; ValueError if it is none."""
    shape = "%Y%m%dT%H%M%S.%fZ" if "." in text else "%Y%m%dT%H%M%SZ"
    return datetime.strptime(text, shape).replace(tzinfo=UTC)
