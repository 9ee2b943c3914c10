"""TODO"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from regiment.printing import printable, put


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


def show_json(document: Any) -> None:
    """One JSON document on stdout; what a terminal lacks, or would obey, stands in it as an escape of JSON."""
    text = json.dumps(document, indent=2, default=repr, ensure_ascii=False)
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except (UnicodeError, LookupError):
        text = json.dumps(document, indent=2, default=repr)
    put("\n".join(map(_escaped, text.split("\n"))))


def bold(text: str) -> str:
    """Bold on a terminal that takes it; NO_COLOR turns it off."""
    if os.environ.get("NO_COLOR") or not sys.stdout.isatty():
        return text
    return click.style(text, bold=True)
