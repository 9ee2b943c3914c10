"""Shows data to people: tables, ages, numbers, times."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from regiment_cli.printing import BOLD, PLAIN, printable

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
"""Seconds in each unit that people write."""


def table(rows: Iterable[Sequence[Any]], head: Sequence[str], right: Iterable[str] = ()) -> str:
    """A plain table: columns two blanks apart, those named in `right` to the right, no lines. The head is bold on a terminal
    that takes it; NO_COLOR turns that off.
    """
    cells = [[name.upper() for name in head], *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[at]) for row in cells) for at in range(len(head))]
    numbers = {at for at, name in enumerate(head) if name in set(right)}
    lines = [
        "  ".join(
            text.rjust(widths[at]) if at in numbers else text.ljust(widths[at]) for at, text in enumerate(row)
        ).rstrip()
        for row in cells
    ]
    if not os.environ.get("NO_COLOR") and sys.stdout.isatty():
        lines[0] = f"{BOLD}{lines[0]}{PLAIN}"
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return printable(" ".join(str(value).split()))


def age(seconds: float | None) -> str:
    """A length of time in one unit: 4 s, 12 m, 3 h, 2 d."""
    if seconds is None:
        return "-"
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{int(seconds)} s"


def many(number: int, noun: str) -> str:
    """`1 task`, `2,000 tasks`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def duration(text: str) -> float:
    """Seconds of a number with a unit: 25, 25s, 500ms, 5m, 2h, 1d; ValueError says what was expected."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?", text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no duration; expected seconds, or 500ms, 25s, 5m, 2h, 1d")
    return float(match[1]) * UNITS[match[2] or "s"]
