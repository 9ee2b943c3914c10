"""All that goes to people passes here: control characters are made visible, and what a terminal lacks is replaced.

What a task, a store or an exception says may hold escapes that rewrite a terminal, characters that turn its direction, and
newlines that look like lines of ours.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

BOLD, PLAIN = "\033[1m", "\033[0m"
"""The only escapes that we print."""
INDENT = "    "


def printable(value: object) -> str:
    """One line of text that does nothing but be read: whatever is not printable is written as an escape, `\\x1b`."""
    text = value if type(value) is str else _text(value)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def printable_lines(value: object, indent: str = "") -> str:
    """The same with its line breaks kept; lines after the first begin with `indent`."""
    text = value if type(value) is str else _text(value)
    if text.isprintable():
        return text
    lines = text.replace("\r\n", "\n").expandtabs(4).split("\n")
    joined = f"\n{indent}".join(map(printable, lines))
    return joined.rstrip() if indent else joined


def fitting(text: str, stream: TextIO | None) -> str:
    """The text with a `?` for what the stream's encoding lacks."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        return text.encode(encoding, "replace").decode(encoding)
    except LookupError:
        return text.encode("ascii", "replace").decode()


def put(text: object = "") -> None:
    """Lines on stdout, for people and for pipes."""
    _write(sys.stdout, str(text), "\n")


def say(text: object) -> None:
    """Lines on stderr, so that what a program reads stays clean."""
    _write(sys.stderr, str(text), "\n")


def draw(text: str, before: str = "", after: str = "", *, stream: TextIO | None = None) -> None:
    """Lines for a place on the terminal: `before` and `after` are controls of ours, and go as they are."""
    out = sys.stdout if stream is None else stream
    out.write(f"{before}{fitting(_ours(text), out)}{after}")
    out.flush()


def _write(stream: TextIO | None, text: str, end: str) -> None:
    if stream is not None:
        stream.write(fitting(_ours(text), stream) + end)
        stream.flush()


def _ours(text: str) -> str:
    """Printable lines in which only our own bold is left."""
    if BOLD not in text:
        return printable_lines(text)
    parts = text.split(BOLD)
    return BOLD.join(PLAIN.join(_inner(one) for one in part.split(PLAIN)) for part in parts)


def _inner(text: str) -> str:
    return "\n".join(printable(line) for line in text.expandtabs(4).split("\n"))


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception as error:  # a stranger's __str__
        return f"<{type(value).__name__} whose text cannot be made: {type(error).__name__}>"
