"""Cron expressions: the parser and the calendar are cronsim's, on a clock without zones; what a change of offset does is ours.

Ticks are a set: which there are depends on expression and zone alone, neither on where one starts to look nor on the direction.
Within a segment of constant offset they are those of a plain clock. At its borders:

- A fixed time of day (neither minute nor hour begins with `*`) runs once. In a repeated hour it is the first pass; a time that a gap
  leaves out runs at the first moment after the gap.
- `*` and `*/n` in minute or hour follow real time: in both passes, and not in a gap.
- With seconds it is the same for the minute, and the seconds are added to it.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from cronsim import CronSim, CronSimError

from regiment.errors import ConfigError
from regiment_schedules.zones import Segment, offsets

NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
DAY = 86_400
_SETS: dict[frozenset[Any], frozenset[Any]] = {}
"""Each set of values of a field once, however many expressions have it."""
_ANY_TIME = datetime(2024, 1, 1)
_DAYS, _MONTHS = (
    ["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
)
_RANGES = ((0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_NAMES = ("second", "minute", "hour", "day of the month", "month", "day of the week")


class Cron:
    """An expression in a zone. Times are whole seconds since the epoch. Safe in any thread."""

    def __init__(self, expression: str, zone: str) -> None:
        parts = NICKNAMES.get(expression.strip().lower(), expression).split()
        problem = refusal(expression)
        if problem:
            raise ConfigError(problem)
        minute, hour = parts[-5], parts[-4]
        self.fixed = not minute.startswith("*") and not hour.startswith("*")
        self._seconds = sorted(CronSim(" ".join(parts), _ANY_TIME).seconds) if self.fixed else [0]
        plain = " ".join(parts[-5:] if self.fixed else parts)
        self._on = CronSim(plain, _ANY_TIME)
        for which in ("seconds", "minutes", "hours", "days", "months", "weekdays"):
            values = frozenset(getattr(self._on, which))
            setattr(self._on, which, _SETS.setdefault(values, values))
        self._back = copy.copy(self._on)
        self._back.tick_direction = -1
        self._offsets = offsets(zone)

    def after(self, second: int) -> int | None:
        """The first tick later than this; None if there is none for 50 years."""
        segment = self._offsets.segment(second)
        for _ in range(200):
            lowest = max(second + 1, segment.start)
            for minute in self._minutes(segment, lowest - self._seconds[-1]):
                for plus in self._seconds:
                    if minute + plus >= lowest:
                        return minute + plus
            following = self._next(segment.end + segment.offset - 1, self._on)
            if following is None:
                return None
            segment = self._offsets.segment(max(segment.end, following - segment.offset - 2 * DAY))
        return None

    def last(self, second: int) -> int | None:
        """The latest tick not later than this; None if there was none for 50 years."""
        segment = self._offsets.segment(second)
        for _ in range(200):
            highest = min(second, segment.end - 1)
            for minute in self._minutes_back(segment, highest):
                for plus in reversed(self._seconds):
                    if minute + plus <= highest:
                        return minute + plus
            earlier = self._next(segment.start + segment.offset, self._back)
            if segment.offset != segment.before:  # what the gap left out, or the first pass, lies before on this clock
                earlier = segment.start + segment.before
            if earlier is None:
                return None
            segment = self._offsets.segment(min(segment.start - 1, earlier - segment.offset + 2 * DAY))
        return None

    def _minutes(self, segment: Segment, low: int) -> Iterator[int]:
        """The ticks of the segment from `low` on (of the minute, where seconds are added), in order."""
        start, end, offset, _ = segment
        if self._gap(segment) and low <= start:
            yield start
        at = max(low + offset, self._first(segment)) - 1
        while True:
            found = self._next(at, self._on)
            if found is None or found - offset >= end:
                return
            if found - offset > start or not self._gap(segment):
                yield found - offset
            at = found

    def _minutes_back(self, segment: Segment, high: int) -> Iterator[int]:
        """The ticks of the segment up to `high`, the latest first."""
        start, end, offset, _ = segment
        at, first = min(high, end - 1) + offset + 1, self._first(segment)
        while True:
            found = self._next(at, self._back)
            if found is None or found < first or (found - offset == start and self._gap(segment)):
                break
            yield found - offset
            at = found
        if self._gap(segment) and start <= high:
            yield start

    def _first(self, segment: Segment) -> int:
        """Where the segment begins on its own clock; a fixed time that this clock repeats has run before."""
        return segment.start + (max(segment.offset, segment.before) if self.fixed else segment.offset)

    def _gap(self, segment: Segment) -> bool:
        """True if a fixed time lies in the gap before the segment: then it runs where the segment starts."""
        if not self.fixed or segment.offset <= segment.before:
            return False
        found = self._next(segment.start + segment.before - 1, self._on)
        return found is not None and found < segment.start + segment.offset

    @staticmethod
    def _next(at: int, plain: CronSim) -> int | None:
        """The next match on a clock without zones, later or earlier than `at`."""
        one = copy.copy(plain)
        one.dt = datetime.fromtimestamp(at, UTC).replace(tzinfo=None)
        found = next(one, None)
        return None if found is None else int(found.replace(tzinfo=UTC).timestamp())


def refusal(expression: object) -> str:
    """What is wrong with an expression, and the nearest right one; empty if nothing is."""
    if not isinstance(expression, str) or not expression.strip():
        return f'the schedule is {expression!r}; expected five fields, such as "0 9 * * mon-fri"'
    text = expression.strip()
    if text.startswith("@"):
        known = ", ".join(NICKNAMES)
        return "" if text.lower() in NICKNAMES else f"the schedule is {text!r}; known are {known}"
    parts = text.split()
    why, better = _why(parts)
    if not why:
        return ""
    wish = " ".join(better)
    hint = f'. Did you mean "{wish}"?' if better != parts and not _why(better)[0] else ""
    return f"the schedule is {text!r}: {why}{hint}"


def _why(parts: list[str]) -> tuple[str, list[str]]:
    """What is wrong, and the fields as they might have been meant."""
    if len(parts) not in (5, 6):
        return f"it has {len(parts)} fields; expected five (or six, seconds first), and no year", parts[:6][-5:]
    better = [_meant(part, place) for place, part in enumerate(parts, 6 - len(parts))]
    if "?" in "".join(parts):
        return '"?" is of another dialect; here it is "*"', better
    for place, (part, meant) in enumerate(zip(parts, better, strict=True), 6 - len(parts)):
        if part != meant:
            return f"{part!r} is no {_NAMES[place]}", better
    try:
        if next(CronSim(" ".join(parts), _ANY_TIME), None) is None:
            return "there is no such day in 50 years", better
    except CronSimError as error:
        field = str(error).removeprefix("Bad ")
        which = next((name for name in _NAMES if name.replace(" of the ", "-of-") == field), field)
        if which == "day of the month" and all(_plain(part) for part in parts):
            return "no such month has such a day", better
        return f"its {which} is not understood", better
    return "", better


def _plain(part: str) -> bool:
    return bool(re.fullmatch(r"[\d*,/-]+", part))


def _meant(part: str, place: int) -> str:
    """A field as it might have been meant: names by their first letters, ranges over the end in two, `*` for `?`."""
    names = {4: _MONTHS, 5: _DAYS}.get(place, [])
    out = []
    for term in part.replace("?", "*").split(","):
        words = re.split(r"([-/#])", term)
        words = [_word(word, names) for word in words]
        term = "".join(words)
        if len(words) == 3 and words[1] == "-":
            numbers = [_number(word, names) for word in (words[0], words[2])]
            low, high = _RANGES[place]
            high -= place == 5
            if None not in numbers and numbers[0] > numbers[1]:  # type: ignore[operator]
                term = f"{words[0]}-{names[high] if names and place == 5 else high},{low}-{numbers[1]}"
        out.append(term)
    return ",".join(out)


def _word(word: str, names: list[str]) -> str:
    if not word.isalpha() or word.lower() in names or word.upper() in ("L", "W", "LW"):
        return word
    return next((name for name in names if word.lower().startswith(name) or name.startswith(word.lower())), word)


def _number(word: str, names: list[str]) -> int | None:
    if word.isdigit():
        return int(word)
    return names.index(word.lower()) + (len(names) == 12) if word.lower() in names else None
