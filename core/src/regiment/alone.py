"""What `regiment` answers where the core is alone: which plugins are here, and what to install for everything else."""

from __future__ import annotations

from regiment import exits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(words: Sequence[str]) -> int:
    """Answer a command line; the exit code."""
    from regiment.known import COMMANDS, SHELL
    from regiment.printing import put, say
    from regiment.registry import NONE_INSTALLED, registry

    if list(words) in (["plugins"], ["plugins", "list"]):
        plugins = registry().plugins
        for plugin in plugins:
            put(f"{plugin.name}  {plugin.source}  {plugin.state}{plugin.reason and f': {plugin.reason}'}")
        if not plugins:
            say(NONE_INSTALLED)
        return exits.OK
    verb = next((" ".join(words[:many]) for many in (2, 1) if " ".join(words[:many]) in COMMANDS), "")
    what = f'the command "{verb}"' if verb else "the command line"
    say(f"error: {what} is not installed: pip install {COMMANDS.get(verb, SHELL)}")
    return exits.PLUGIN
