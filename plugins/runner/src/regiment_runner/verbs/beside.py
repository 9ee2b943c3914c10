"""`--metrics` and `--dashboard` of `regiment run`: servers of the tree, each in a process of its own, closed by default.

All that can be wrong with them is said before anything is forked; what serves is a plugin's, which finds the address in its `spec`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from regiment.errors import ConfigError, PluginError
from regiment.known import COMMANDS
from regiment.registry import registry
from regiment_cli.listening import address, refused, secret, taken, this_host_alone

SERVERS = {"metrics": "127.0.0.1:9464", "dashboard": "127.0.0.1:8420"}
"""Option, and where it serves if nobody says otherwise."""
TOKENS = tuple(f"{name}-token" for name in SERVERS)
_ADDRESS = re.compile(r".+:\d+")


class Asked(NamedTuple):
    """One server that is asked for: its address as it was written, and the file that holds its token."""

    name: str
    where: str
    token_file: str | None


def with_addresses(args: Sequence[str]) -> list[str]:
    """The words of a line, in which `--dashboard` before what is no HOST:PORT has its default: so it may come before a target."""
    found = list[str]()
    for word, after in zip(args, [*args, ""][1:], strict=True):
        name = word.removeprefix("--")
        alone = word.startswith("--") and name in SERVERS and not _ADDRESS.fullmatch(after)
        found.append(f"{word}={SERVERS[name]}" if alone else word)
    return found


def as_data(asked: Sequence[Asked]) -> Mapping[str, Mapping[str, Any]]:
    """What the plugins are told: name of a server -> host, port, token_file. `PluginError` where nothing can serve it, `ConfigError` for
    an address that is taken, wrong, or open to other hosts without a token.
    """
    return {one.name: _checked(one) for one in asked}


def _checked(asked: Asked) -> dict[str, Any]:
    option, home = f"--{asked.name}", COMMANDS[asked.name]
    if asked.name not in registry().offers("commands"):
        plugin = next((one for one in registry().plugins if one.distribution == home), None)
        why = f"{plugin.state}: {plugin.reason}" if plugin else f"not installed: pip install {home}"
        raise PluginError(f"{option} is served by {home}, which is {why}")
    host, port = address(asked.where, SERVERS[asked.name], option)
    token_file = None if asked.token_file is None else Path(asked.token_file).absolute()
    if token_file is not None:
        secret(f"{option}-token", token_file)
    elif not this_host_alone(host):
        raise ConfigError(
            f"{option} {asked.where} is open to other hosts, and there is no token; expected {option}-token FILE with a secret, "
            f"or an address of this host alone, such as {SERVERS[asked.name]}"
        )
    try:  # who serves takes it for itself: a port that this process held would be in its workers, too
        taken(host, port).close()
    except OSError as error:
        raise refused(option, asked.where, error) from None
    return {"host": host, "port": port, "token_file": token_file and str(token_file)}
