"""The scripts of the verbs: one Lua file each, and four that they include."""

from __future__ import annotations

import hashlib
import re
from importlib.resources import files

_INCLUDE = re.compile(r"^[ ]*--#include (\w+\.lua)$", re.MULTILINE)
_COMMENT = re.compile(r"^[ ]*--.*\n", re.MULTILINE)


class Script:
    """One script: its text and the SHA-1 by which a server calls it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.text = _COMMENT.sub("", _read(f"{name}.lua")).encode()
        self.sha = hashlib.sha1(self.text, usedforsecurity=False).hexdigest()

    def __repr__(self) -> str:
        return f"<Script {self.name} {self.sha}>"


def _read(name: str) -> str:
    text = (files(__package__) / name).read_text("utf-8")
    return _INCLUDE.sub(lambda match: _read(match[1]), text)
