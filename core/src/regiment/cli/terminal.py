"""How verbs speak to people and programs: lines on stderr, JSON on stdout, durations as options."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import click

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
"""Seconds in each unit that people write."""

if TYPE_CHECKING:
    ParamType = click.ParamType[Any]
else:
    ParamType = click.ParamType  # generic for type checkers since click 8.2 only


class Duration(ParamType):
    """Seconds, or a number with a unit: 25, 25s, 500ms, 5m, 2h, 1d."""

    name = "duration"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        if isinstance(value, (int, float)):
            return float(value)
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?", value.strip())
        if match is None:
            self.fail(f"{value!r} is no duration; expected seconds, or 500ms, 25s, 5m, 2h, 1d")
        return float(match[1]) * UNITS[match[2] or "s"]


def say(text: str) -> None:
    """To people: on stderr, so that what a program reads stays clean."""
    click.echo(text, err=True)


def show_json(document: Any) -> None:
    """One JSON document on stdout."""
    click.echo(json.dumps(document, indent=2, default=repr, ensure_ascii=False))
