"""Delays and points in time as people write them, as seconds; priorities as numbers."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from regiment.task import PRIORITIES


def priority_number(name: Any) -> int:
    """The number of a priority's name; ValueError for a name that is none."""
    try:
        return PRIORITIES[name]
    except (KeyError, TypeError):
        raise ValueError(f"priority is {name!r}; expected {', '.join(PRIORITIES)}") from None


def seconds(value: float | timedelta) -> float:
    """A delay as seconds."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, (int, float)) and value == value and not isinstance(value, bool):
        return float(value)
    raise TypeError(f"a delay is {value!r}; expected seconds or a timedelta")


def timestamp(value: datetime | float) -> float:
    """A point in time as seconds since the epoch; a datetime must be aware."""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"at is {value!r}, without a time zone; use datetime.now(timezone.utc)")
        return value.timestamp()
    if isinstance(value, (int, float)) and value == value and not isinstance(value, bool):
        return float(value)
    raise TypeError(f"at is {value!r}; expected an aware datetime or seconds since the epoch")
