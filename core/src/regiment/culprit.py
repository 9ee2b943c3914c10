"""Finds the value that a serializer refused, and its path, for the error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

_DEEPEST = 30
"""The most steps of a path that an error shows."""


def find_culprit(
    dumps: Callable[[Any], bytes], record: list[Any], error: Exception, fields: Sequence[str]
) -> tuple[str, Any, Exception]:
    """Path, value and error of the innermost thing in `record` that `dumps` refuses, found by trying its parts.

    Slow, and only for errors: each step of the path costs several times one `dumps`.
    """
    path, value, above = "", record, [record]
    for _ in range(_DEEPEST):
        found = _failing_part(dumps, value)
        if found is None:
            return path or "the record", value, error
        step, value, error = found
        place = step[1:-1]
        named = place.isdigit() and int(place) < len(fields)
        path += step if path else fields[int(place)] if named else "extra"
        if any(value is one for one in above):
            return path, value, ValueError("it contains itself")
        above.append(value)
    return f"{path}…", value, error


def _failing_part(dumps: Callable[[Any], bytes], value: Any) -> tuple[str, Any, Exception] | None:
    """Step, value and error of the first direct part of `value` that fails by itself, found by halving: of a million parts one
    is found in twenty steps.
    """
    if not isinstance(value, (dict, list, tuple, set, frozenset)):
        return None
    parts = [*value, *value.values()] if isinstance(value, dict) else list(value)
    at, last = 0, len(parts)
    while last - at > 1:
        middle = (at + last) // 2
        at, last = (middle, last) if _error(dumps, parts[at:middle]) is None else (at, middle)
    error = _error(dumps, parts[at]) if parts else None
    if error is None:
        return None
    if isinstance(value, dict):
        key = parts[at % len(value)]
        return (f"[{_shown(key)}]" if at >= len(value) else f" (the key {_shown(key)})"), parts[at], error
    # The value of an element of a set may be secret, and it has no place.
    return (" (an element)" if isinstance(value, (set, frozenset)) else f"[{at}]"), parts[at], error


def _error(dumps: Callable[[Any], bytes], value: Any) -> Exception | None:
    try:
        dumps(value)
    except Exception as error:
        return error
    return None


def _shown(key: Any) -> str:
    try:
        text = f'"{key}"' if type(key) is str else repr(key)
        text.encode()
    except Exception:
        text = f"<{type(key).__name__}>"
    return text if len(text) <= 60 else f"{text[:59]}…"
