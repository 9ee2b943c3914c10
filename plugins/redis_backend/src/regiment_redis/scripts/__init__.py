"""The scripts of the verbs: one Lua file each, and those that they include."""

from __future__ import annotations

import hashlib
import re
from importlib.resources import files

_INCLUDE = re.compile(r"^[ ]*--#include (\w+\.lua)$", re.MULTILINE)
_EFFECTS = re.compile(r"^([ ]*)--#effects(?: (\w+\.lua)|: (.*))$", re.MULTILINE)
_COMMENT = re.compile(r"^[ ]*--.*\n", re.MULTILINE)


class Script:
    """One script: its text and the SHA-1 by which a server calls it.

    Where a file says `--#effects`, the script with `effects` has what is named there; the script without has a comment, and
    comments are left out: its bytes are the same as if effects had never been thought of.
    """

    def __init__(self, name: str, effects: bool = False) -> None:
        self.name = name
        self.text = _COMMENT.sub("", _read(f"{name}.lua", effects)).encode()
        self.sha = hashlib.sha1(self.text, usedforsecurity=False).hexdigest()

    def __repr__(self) -> str:
        return f"<Script {self.name} {self.sha}>"


def _read(name: str, effects: bool) -> str:
    text = (files(__package__) / name).read_text("utf-8")
    if effects:
        text = _EFFECTS.sub(lambda match: f"--#include {match[2]}" if match[2] else f"{match[1]}{match[3]}", text)
    return _INCLUDE.sub(lambda match: _read(match[1], effects), text)
