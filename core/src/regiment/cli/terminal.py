"""TODO"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click


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


def say(text: str) -> None:
    """To people: on stderr, so that what a program reads stays clean."""
    click.echo(text, err=True)


def show_json(document: Any) -> None:
    """One JSON document on stdout."""
    click.echo(json.dumps(document, indent=2, default=repr, ensure_ascii=False))


def bold(text: str) -> str:
    """Bold on a terminal that takes it; NO_COLOR turns it off."""
    if os.environ.get("NO_COLOR") or not sys.stdout.isatty():
        return text
    return click.style(text, bold=True)
