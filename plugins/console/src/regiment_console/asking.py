"""Types of options of the console's verbs, and the question before something is destroyed."""

from __future__ import annotations

import re
import sys
from typing import Any

import click

from regiment_cli.printing import printable
from regiment_cli.terminal import ParamType
from regiment_cli.text import UNITS


class Rate(ParamType):
    """How many a second: 100, 100/s, 600/m."""

    name = "rate"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        if isinstance(value, (int, float)):
            return float(value)
        match = re.fullmatch(r"(\d+(?:\.\d+)?)(?:/(s|m|h))?", value.strip())
        if match is None or float(match[1]) <= 0:
            self.fail(f"{value!r} is no rate; expected tasks per second, or 100/s, 600/m, 50/h")
        return float(match[1]) / UNITS[match[2] or "s"]


class Moment(ParamType):
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
            self.fail(f"{value!r} is no time; expected 2030-01-31T08:00:00+01:00, or seconds since 1970")
        if found.tzinfo is None:
            self.fail(f"{value!r} has no time zone; add one, such as Z or +01:00")
        return found


def sure(question: str, yes: bool) -> None:
    """Ask before something is destroyed; without a terminal `--yes` is needed."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question} Nobody can answer here: add --yes")
    click.confirm(printable(question), abort=True, err=True)
