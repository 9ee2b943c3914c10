"""How verbs speak to people and programs: lines on stderr, JSON on stdout, durations as options."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from regiment_cli.printing import put
from regiment_cli.text import duration

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
        try:
            return duration(value)
        except ValueError as error:
            self.fail(str(error))


def show_json(document: Any) -> None:
    """One JSON document on stdout; what a terminal lacks, or would obey, stands in it as an escape of JSON."""
    text = json.dumps(document, indent=2, default=repr, ensure_ascii=False)
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except (UnicodeError, LookupError):
        text = json.dumps(document, indent=2, default=repr)
    put("\n".join(map(_escaped, text.split("\n"))))


def _escaped(line: str) -> str:
    if line.isprintable():
        return line
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in line)
