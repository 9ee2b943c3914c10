"""What `regiment` answers where the core is alone: which plugins are here, and what to install for everything else."""

from __future__ import annotations

import sys

from regiment import exits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TextIO


def main(words: Sequence[str]) -> int:
    """Answer a command line; the exit code."""
    from regiment.known import COMMANDS, SHELL
    from regiment.registry import NONE_INSTALLED, registry

    if list(words) in (["plugins"], ["plugins", "list"]):
        plugins = registry().plugins
        for plugin in plugins:
            _say(f"{plugin.name}  {plugin.source}  {plugin.state}{plugin.reason and f': {plugin.reason}'}", sys.stdout)
        if not plugins:
            _say(NONE_INSTALLED)
        return exits.OK
    verb = next((" ".join(words[:many]) for many in (2, 1) if " ".join(words[:many]) in COMMANDS), "")
    what = f'the command "{verb}"' if verb else "the command line"
    _say(f"error: {what} is not installed: pip install {COMMANDS.get(verb, SHELL)}")
    return exits.PLUGIN


def _say(text: str, stream: TextIO | None = None) -> None:
    """One line that any terminal can show, and that does nothing but be read."""
    print("".join(c if " " <= c <= "~" else ascii(c)[1:-1] for c in text), file=stream or sys.stderr)
