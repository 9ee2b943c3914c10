"""Docstrings are written to be read where they stand, in Markdown's way; Sphinx reads reStructuredText."""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

from regiment.settings import Settings

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
    if lines and lines[0].startswith("Alias for field number"):  # what Python says of a field of a tuple
        lines.clear()
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


def signature(
    app: Sphinx, kind: str, name: str, thing: Any, options: Any, given: str | None, returned: str | None
) -> tuple[str, None] | None:
    """A record of settings takes its fields."""
    if kind != "class" or not issubclass(thing, Settings):
        return None
    fields = (field if default is ... else f"{field}={default!r}" for field, default in thing._defaults.items())
    return f"({', '.join(fields)})", None


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", docstring)
    app.connect("autodoc-process-signature", signature)
    return {"parallel_read_safe": True}
