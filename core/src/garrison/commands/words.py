"""How the verbs read durations and rates, and how they print tables, ages and JSON."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


if TYPE_CHECKING:
    _Type = click.ParamType[Any]
else:
    _Type = click.ParamType  # generic for type checkers since click 8.2 only


class Duration(_Type):
    """Seconds, or a number with a unit: 25, 25s, 500ms, 5m, 2h, 1d."""

    name = "duration"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        if isinstance(value, (int, float)):
            return float(value)
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?", value.strip())
        if match is None:
            self.fail(f"{value!r} is no duration; expected seconds, or 500ms, 25s, 5m, 2h, 1d")
        return float(match[1]) * _UNITS[match[2] or "s"]


class Rate(_Type):
    """How many a second: 100, 100/s, 600/m."""

    name = "rate"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        if isinstance(value, (int, float)):
            return float(value)
        match = re.fullmatch(r"(\d+(?:\.\d+)?)(?:/(s|m|h))?", value.strip())
        if match is None or float(match[1]) <= 0:
            self.fail(f"{value!r} is no rate; expected tasks per second, or 100/s, 600/m, 50/h")
        return float(match[1]) / _UNITS[match[2] or "s"]


class Moment(_Type):
    """A point in time with its zone (2030-01-31T08:00:00+01:00), or seconds since the epoch."""

    name = "time"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        from datetime import datetime

        if not isinstance(value, str):
            return value
        try:
            return float(value)
        except ValueError:
            pass
        try:
            found = datetime.fromisoformat(value)
        except ValueError:
            self.fail(
                f"{value!r} is no time; expected 2030-01-31T08:00:00+01:00, or seconds since 1970"
            )
        if found.tzinfo is None:
            self.fail(f"{value!r} has no time zone; add one, such as Z or +01:00")
        return found


def say(text: str) -> None:
    """To people: on stderr, so that what a program reads stays clean."""
    click.echo(text, err=True)


def show_json(document: Any) -> None:
    """One JSON document on stdout."""
    click.echo(json.dumps(document, indent=2, default=repr, ensure_ascii=False))


def table(rows: Iterable[Sequence[Any]], head: Sequence[str], right: Iterable[str] = ()) -> str:
    """A plain table: columns two blanks apart, those named in `right` to the right, no lines."""
    cells = [[name.upper() for name in head], *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[at]) for row in cells) for at in range(len(head))]
    numbers = {at for at, name in enumerate(head) if name in set(right)}
    lines = [
        "  ".join(
            text.rjust(widths[at]) if at in numbers else text.ljust(widths[at])
            for at, text in enumerate(row)
        ).rstrip()
        for row in cells
    ]
    lines[0] = bold(lines[0])
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return " ".join(str(value).split())


def bold(text: str) -> str:
    """Bold on a terminal that takes it; NO_COLOR turns it off."""
    if os.environ.get("NO_COLOR") or not sys.stdout.isatty():
        return text
    return click.style(text, bold=True)


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


def clock(at: float) -> str:
    """A time of the wall clock, local, to the second."""
    from datetime import datetime

    return datetime.fromtimestamp(at).astimezone().isoformat(" ", "seconds")


def short(text: str, width: int = 60) -> str:
    """The first line, cut."""
    line = text.strip().splitlines()[0] if text.strip() else ""
    return line if len(line) <= width else line[: width - 1] + "…"


def sure(question: str, yes: bool) -> None:
    """Ask before something is destroyed; where nobody can answer, `--yes` is needed."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question} Nobody can answer here: add --yes")
    click.confirm(question, abort=True, err=True)
