"""Where a store is: `mongodb://` URLs and their parts, and how they are shown to people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote, quote_plus, unquote

from regiment.errors import ConfigError, nearest

SCHEMES = ("mongodb://", "mongodb+srv://")
FIELDS = (
    "host",
    "port",
    "username",
    "password",
    "database",
    "replica_set",
    "tls",
    "auth_source",
    "options",
)
DATABASE = "regiment"


class Address(NamedTuple):
    """One cluster: the URL for the driver, the database, and a text without secrets."""

    url: str
    database: str
    shown: str


def addresses(url: str | None, nodes: Sequence[str | Mapping[str, Any]] | None, database: str | None) -> list[Address]:
    """The clusters that these options name; `ConfigError` with everything that is wrong with them."""
    if (url is None) == (nodes is None):
        raise ConfigError("mongo: give either url or nodes; neither (or both) was given")
    if nodes is not None and (isinstance(nodes, (str, bytes)) or not nodes):
        raise ConfigError(f"mongo: nodes is {nodes!r}; expected a list of URLs or mappings")
    found: list[Address] = []
    problems: list[str] = []
    for node in [url] if nodes is None else nodes:
        try:
            text = _from_mapping(node) if isinstance(node, Mapping) else node
            found.append(_address(text, database))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return found


def _address(url: object, database: str | None) -> Address:
    if not isinstance(url, str) or not url.startswith(SCHEMES):
        seen = type(url).__name__ if not isinstance(url, str) else repr(url.partition("://")[0] + "://…")
        raise ConfigError(f"mongo: a node is {seen}; expected mongodb://… or mongodb+srv://…")
    scheme, rest = url.split("://", 1)
    before = rest.partition("?")[0]
    hosts, _, path = before.rpartition("@")[2].partition("/")
    if not hosts:
        raise ConfigError("mongo: a node's URL names no host; expected mongodb://host:27017/database")
    _check_options(rest.partition("?")[2])
    name = database or unquote(path) or DATABASE
    if any(c in name for c in '/\\. "$\0') or len(name.encode()) > 63:
        raise ConfigError(f'mongo: the database is {name!r}; expected at most 63 bytes without / \\ . " $ or space')
    return Address(url, name, f"{scheme}://{hosts}/{name}")


def _check_options(options: str) -> None:
    """`ConfigError` for what the driver takes and no worker can live with."""
    if "maxpoolsize=1" in options.lower().split("&"):
        raise ConfigError(
            "mongo: maxPoolSize is 1; expected 2 or more, as a worker waits for hints on one connection and works on another"
        )


def _from_mapping(node: Mapping[str, Any]) -> str:
    unknown = [field for field in node if field not in FIELDS]
    if unknown:
        raise ConfigError(
            [
                f'mongo: a node has no field "{field}".{nearest(str(field), FIELDS)} It has: {", ".join(FIELDS)}'
                for field in unknown
            ]
        )
    hosts = node.get("host", "localhost")
    port = node.get("port", 27017)
    if isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 65536:
        raise ConfigError(f"mongo: a node's port is {port!r}; expected a whole number from 1 to 65535")
    names = [hosts] if isinstance(hosts, str) else list(hosts)
    if not names or not all(isinstance(name, str) and name for name in names):
        raise ConfigError(f"mongo: a node's host is {hosts!r}; expected a name, or a list of names")
    login = ""
    if node.get("username"):
        login = quote_plus(str(node["username"]))
        if node.get("password"):
            login += ":" + quote_plus(str(node["password"]))
        login += "@"
    options = dict(node.get("options") or {})
    for field, option in (
        ("replica_set", "replicaSet"),
        ("tls", "tls"),
        ("auth_source", "authSource"),
    ):
        if node.get(field) is not None:
            value = node[field]
            options[option] = str(value).lower() if isinstance(value, bool) else value
    query = "&".join(f"{key}={quote(str(value), safe='')}" for key, value in options.items())
    where = ",".join(name if ":" in name else f"{name}:{port}" for name in names)
    return f"mongodb://{login}{where}/{node.get('database') or ''}" + (f"?{query}" if query else "")
