"""The group of a dead letter: which errors are one and the same; and which frames of a traceback are not the application's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

_FRAME = re.compile(r'^\s*File "([^"]+)", line \d+, in (\S+)', re.MULTILINE)
_BEGINS = re.compile(r'^( *)File "([^"]+)", line \d+')
_PACKAGE = re.compile(r"(?:site-packages|dist-packages)/([^/.]+)|/(regiment(?:_\w+)?)/")
_FOREIGN = ("site-packages", "dist-packages", "/regiment_", "/regiment/", "/lib/python", "<frozen")
_VARIES = re.compile(r"'[^']*'|\"[^\"]*\"|0x[0-9a-fA-F]+|\d+")
"""What differs between two errors that are the same: quoted texts, addresses, numbers."""


def group_of(reason: Mapping[str, Any]) -> str:
    """The group of a letter with this reason, 8 hexadecimal digits: of its kind, its error, its task, and the line of the application where it was
    raised (name of the file and function: neither folder nor line, which differ from host to host and release to release). Of an error that no line raised: its text without what varies.
    """
    place = ""
    for file, function in _FRAME.findall(str(reason.get("traceback") or "")):
        if not _foreign(file):
            place = f"{file.rpartition('/')[2]}:{function}"
    if not place:
        place = _VARIES.sub("…", str(reason.get("error") or ""))[:200]
    parts = (str(reason.get("kind")), str(reason.get("error_type")), str(reason.get("name")), place)
    return sha256("\0".join(parts).encode(errors="replace")).hexdigest()[:8]


def folded(traceback: str) -> str:
    """A traceback without the frames of libraries: a line says how many there were, and of what. The last frame of a chain stays, as
    that is where it was raised.
    """
    found: list[str] = []
    fold: list[tuple[str, list[str]]] = []
    lines = traceback.split("\n")
    at = 0
    while at < len(lines):
        begins = _BEGINS.match(lines[at])
        end = at + 1
        if begins is not None:
            indent = len(begins[1])
            while end < len(lines) and len(lines[end]) - len(lines[end].lstrip(" ")) > indent:
                end += 1
        if begins is not None and _foreign(begins[2]):
            fold.append((begins[2], lines[at:end]))
        else:
            found += _unfolded(fold, last=begins is None) + lines[at:end]
            fold = []
        at = end
    return "\n".join(found + _unfolded(fold, last=True))


def _foreign(file: str) -> bool:
    return any(part in file for part in _FOREIGN)


def _unfolded(fold: list[tuple[str, list[str]]], last: bool) -> list[str]:
    """The line in place of these frames; the last of them stays where nothing of the application follows, and one alone always."""
    kept = fold[-1:] if last or len(fold) == 1 else []
    hidden = fold[: len(fold) - len(kept)]
    shown = [line for _, lines in kept for line in lines]
    if not hidden:
        return shown
    indent = " " * (len(hidden[0][1][0]) - len(hidden[0][1][0].lstrip(" ")))
    of = dict.fromkeys((found[1] or found[2]) if (found := _PACKAGE.search(file)) else "Python" for file, _ in hidden)
    return [f"{indent}… {len(hidden)} {'frame' if len(hidden) == 1 else 'frames'} of {', '.join(of)}", *shown]
