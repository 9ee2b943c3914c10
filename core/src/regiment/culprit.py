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
    """Step, value and error of the first direct part of `value` that fails by itself."""
    keys: Sequence[Any]
    if isinstance(value, dict):
        keys, parts = list(value), list(value.values())
        found = _first_failing(dumps, keys)
        if found is not None:
            return f" (the key {_shown(keys[found[0]])})", keys[found[0]], found[1]
    elif isinstance(value, (list, tuple, set, frozenset)):
        keys, parts = range(len(value)), list(value)
    else:
        return None
    found = _first_failing(dumps, parts)
    if found is None:
        return None
    at, error = found
    # The value of an element of a set may be secret, and it has no place.
    step = " (an element)" if isinstance(value, (set, frozenset)) else f"[{_shown(keys[at])}]"
    return step, parts[at], error


def _first_failing(dumps: Callable[[Any], bytes], parts: list[Any]) -> tuple[int, Exception] | None:
    """Index and error of the first part that fails by itself, found by halving: a million parts take twenty steps."""
    if not parts or _attempt(dumps, parts) is None:
        return None
    first, last = 0, len(parts)
    while last - first > 1:
        middle = (first + last) // 2
        if _attempt(dumps, parts[first:middle]) is not None:
            last = middle
        else:
            first = middle
    error = _attempt(dumps, parts[first])
    return None if error is None else (first, error)


def _attempt(dumps: Callable[[Any], bytes], value: Any) -> Exception | None:
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
