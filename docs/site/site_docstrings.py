"""Docstrings are written to be read where they stand, in Markdown's way; Sphinx reads reStructuredText."""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

CODE = re.compile(r"(``[^`]+``|`[^`]+`)")


def plain(line: str) -> str:
    """A line of prose: what stands outside of backticks is text, whatever it would mean to reStructuredText."""
    pieces = CODE.split(line)
    return "".join(
        f"``{piece.strip('`')}``" if number % 2 else re.sub(r"([*_|\\])", r"\\\1", piece)
        for number, piece in enumerate(pieces)
    )


def docstring(app: Sphinx, kind: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """A docstring with its code marked as code; what is indented further than its text is an example."""
    joined = re.sub(r"(`[^`\n]*)\n +([^`\n]*`)", r"\1 \2", "\n".join(lines))
    found: list[str] = []
    example = False
    for line in joined.split("\n"):
        deep = line.startswith("    ")
        if deep and not example:
            found += ["::", ""]
        if line.strip():
            example = deep
        found.append(line if deep else plain(line))
    lines[:] = found


def member(app: Sphinx, kind: str, name: str, thing: Any, skip: bool, options: Any) -> bool | None:
    """Leave out what has no docstring of its own: fields of tuples whose meaning the record tells."""
    return True if (getattr(thing, "__doc__", "") or "").startswith("Alias for field number") else None


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", docstring)
    app.connect("autodoc-skip-member", member)
    return {"parallel_read_safe": True}
