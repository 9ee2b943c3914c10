"""The scripts of the verbs: one Lua file each, and those that they include."""

from __future__ import annotations

import hashlib
import re
from functools import cached_property
from importlib.resources import files

_INCLUDE = re.compile(r"^[ ]*--#include (\w+\.lua)$", re.MULTILINE)
_EFFECTS = re.compile(r"^([ ]*)--#effects(?: (\w+\.lua)|: (.*))$", re.MULTILINE)
_FLOW = re.compile(r"^([ ]*)--#flow(?: (\w+\.lua)|: (.*))$", re.MULTILINE)
_PLAIN = re.compile(r"^[ ]*--#plain\n(?s:.*?)^[ ]*--#end\n", re.MULTILINE)
_COMMENT = re.compile(r"^[ ]*--.*\n", re.MULTILINE)


class Script:
    """One script: its text and the SHA-1 by which a server calls it.

    Where a file says `--#effects`, the script with `effects` has what is named there; where it says `--#flow`, the script with `flow`
    has it, and not what is between `--#plain` and `--#end`. In a script without, all of these are comments, and comments are left
    out: its bytes are the same as if effects and flow had never been thought of.
    """

    def __init__(self, name: str, effects: bool = False, flow: bool = False) -> None:
        self.name, self.effects, self.flow = name, effects, flow
        self.plain: Script | None = None
        """Of a twin: the script for queues that have no lanes."""
        self.text = _COMMENT.sub("", _read(f"{name}.lua", effects, flow)).encode()
        self.sha = hashlib.sha1(self.text, usedforsecurity=False).hexdigest()

    @cached_property
    def twin(self) -> Script:
        """The same script for queues that have lanes."""
        twin = Script(self.name, self.effects, flow=True)
        twin.plain = self
        return twin

    def __repr__(self) -> str:
        return f"<Script {self.name} {self.sha}>"


def _named(match: re.Match[str]) -> str:
    """What stands behind a word for effects or flow: a file to include, or code."""
    return f"--#include {match[2]}" if match[2] else f"{match[1]}{match[3]}"


def _read(name: str, effects: bool, flow: bool) -> str:
    text = (files(__package__) / name).read_text("utf-8")
    if flow:
        text = _FLOW.sub(_named, _PLAIN.sub("", text))
    if effects:
        text = _EFFECTS.sub(_named, text)
    return _INCLUDE.sub(lambda match: _read(match[1], effects, flow), text)
