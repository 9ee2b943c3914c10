"""What may be pushed and configured: one table of names, types and bounds, and the words of a refusal.

A push, a configuration and `regiment_testing.capture` all ask here, before anything reaches a store. So each store refuses
and takes the same, and what a push takes can be delivered.
"""

from __future__ import annotations

import math

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime, timedelta
    from typing import Any

YEARS = 100
LONGEST = YEARS * 365.25 * 86_400.0
"""Seconds of the longest period: every delay, expiry, limit and pause. Its nanoseconds fit into 64 bits."""
MOST = 1_000_000_000
"""The largest number of anything that is counted."""
LARGEST = 2**31 - 1
"""Bytes of the largest message; no store holds one of 2 GiB."""
STEEPEST = 1_000_000.0
"""The largest factor of a back-off."""
LONGEST_QUEUE = 100
"""Characters of the longest queue name."""
LONGEST_TEXT = 200
"""Bytes, in UTF-8, of the longest task name, id, trace id and name of a header."""
LONGEST_HEADER = 8192
"""Bytes, in UTF-8, of the longest value of a header."""
MOST_HEADERS = 64

SECONDS = "seconds or a timedelta"
MOMENT = "an aware datetime or seconds since the epoch"
TEXT = f"a string of 1 to {LONGEST_TEXT} bytes in UTF-8, without control characters"
HEADERS = (
    f"at most {MOST_HEADERS} strings by name, names of 1 to {LONGEST_TEXT} bytes in UTF-8 without control characters, "
    f"values of at most {LONGEST_HEADER:,}"
)
QUEUE = f"at most {LONGEST_QUEUE} ASCII letters, digits and _ - . : /"


# Numbers


def number(value: object) -> bool:
    """Whether it is a finite number, and no truth value."""
    kind = isinstance(value, (int, float)) and not isinstance(value, bool)
    return kind and (isinstance(value, int) or math.isfinite(value))  # type: ignore[arg-type]


def whole(value: object, least: int, most: int = MOST) -> bool:
    """Whether it is a whole number of that range."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def period(value: object, least: float = 0.0, most: float = LONGEST) -> bool:
    """Whether it is seconds of that range."""
    return number(value) and least <= value <= most  # type: ignore[operator]


def limit(value: object) -> bool:
    """Whether it is seconds above 0."""
    return period(value) and value > 0  # type: ignore[operator]


# Texts


def text(value: object, longest: int = LONGEST_TEXT, *, least: int = 1) -> bool:
    """Whether it is a string of so many bytes that any store and any terminal can hold."""
    if not isinstance(value, str) or not value.isprintable():
        return False
    return least <= len(value.encode()) <= longest  # what is printable has no lone surrogate


def queue(value: object) -> bool:
    """Whether it is the name of a queue."""
    return (
        isinstance(value, str)
        and 1 <= len(value) <= LONGEST_QUEUE
        and value.isascii()
        and all(c.isalnum() or c in "_-.:/" for c in value)
    )


def queue_expected(name: object) -> str | None:
    """What was expected instead of this name of a queue, or None."""
    if not isinstance(name, str) or not name:
        return "the name of the queue, a string"
    return None if queue(name) else QUEUE


def headers(value: object) -> bool:
    """Whether they are headers."""
    from collections.abc import Mapping

    few = isinstance(value, Mapping) and len(value) <= MOST_HEADERS
    return few and all(text(name) and _header(content) for name, content in value.items())  # type: ignore[attr-defined]


def _header(value: object) -> bool:
    try:
        return isinstance(value, str) and len(value.encode()) <= LONGEST_HEADER
    except UnicodeError:
        return False


# Times


def seconds(value: float | timedelta, what: str = "a delay") -> float:
    """A period as seconds; TypeError for what is none, ValueError for one that is too long."""
    if type(value) in (int, float) and -LONGEST <= value <= LONGEST:  # type: ignore[operator]
        return float(value)  # type: ignore[arg-type]
    from datetime import timedelta

    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{what} is {seen(value)}; expected {SECONDS}")
    if value != value:
        raise TypeError(f"{what} is nan; expected {SECONDS}")
    if not number(value) or value > LONGEST:
        raise ValueError(f"{what} is {seen(value)}; expected {SECONDS}, at most {YEARS} years")
    return float(max(value, -LONGEST))


def timestamp(value: datetime | float, what: str = "at") -> float:
    """A point in time as seconds since the epoch; a datetime must be aware. TypeError, ValueError as `seconds`."""
    import time
    from datetime import datetime

    moment: Any = value
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"{what} is {value!r}, without a time zone; use datetime.now(timezone.utc)")
        moment = value.timestamp()
    if isinstance(moment, bool) or not isinstance(moment, (int, float)) or moment != moment:
        raise TypeError(f"{what} is {seen(value)}; expected {MOMENT}")
    if not number(moment) or not 0 <= moment <= time.time() + LONGEST:
        raise ValueError(f"{what} is {seen(value)}; expected {MOMENT}, from 1970 to {YEARS} years from now")
    return float(moment)


# A push

PRIORITY = "HIGH, NORMAL, LOW"
TABLE: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "queue": (queue, QUEUE),
    "name": (lambda value: value == "" or text(value), TEXT),
    "id": (text, TEXT),
    "trace_id": (text, TEXT),
    "headers": (headers, HEADERS),
    "tags": (lambda value: type(value) is dict and all(map(text, value)), "a dict of plain data by plugin"),
    "priority": (lambda value: isinstance(value, str) and value in PRIORITY.split(", "), PRIORITY),
}
"""Option of a push -> what it may be, and that in words. Times are `seconds` and `timestamp`."""


def refusal(option: str, value: object) -> str | None:
    """What is wrong with the value of a push's option, or None."""
    good, expected = TABLE[option]
    return None if good(value) else f"{option} is {seen(value)}; expected {expected}"


def seen(value: object) -> str:
    """A value as an error shows it: short, on one line, whatever its `repr` does."""
    try:
        shown = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    except Exception as error:  # a number of 5,000 digits; a stranger's __repr__
        return f"a value of type {type(value).__name__} ({type(error).__name__} in its repr)"
    if not shown.isprintable():
        shown = ascii(shown)[1:-1]
    return shown if len(shown) <= 120 else f"{shown[:100]}… ({len(shown):,} characters)"
