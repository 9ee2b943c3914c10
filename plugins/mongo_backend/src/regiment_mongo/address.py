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

    @property
    def unguarded(self) -> list[str]:
        """What somebody between us and this cluster could do, one sentence each."""
        return _unguarded(self)


def addresses(url: str | None, nodes: Sequence[str | Mapping[str, Any]] | None, database: str | None) -> list[Address]:
    """The clusters that these options name; `ConfigError` with everything that is wrong with them."""
    if (url is None) == (nodes is None):
        raise ConfigError("mongo: give either url or nodes; neither (or both) was given")
    if nodes is not None and (isinstance(nodes, (str, bytes)) or not nodes):
        raise ConfigError(
            f"mongo: nodes is {'empty' if not nodes else 'a ' + type(nodes).__name__}; expected a list of URLs or mappings"
        )
    found: list[Address] = []
    problems: list[str] = []
    if nodes is not None and not isinstance(nodes, Sequence):
        raise ConfigError(f"mongo: nodes is a {type(nodes).__name__}; expected a list of URLs or mappings")
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
        seen = type(url).__name__ if not isinstance(url, str) else repr(url.partition(":")[0][:20] + "://…")
        raise ConfigError(f"mongo: a node is {seen}; expected mongodb://… or mongodb+srv://…")
    scheme, rest = url.split("://", 1)
    before, _, query = rest.partition("?")
    if "@" in before.partition("/")[2] or ("@" in query and "@" not in before):
        raise ConfigError(
            f"mongo: the {scheme}:// URL has an @ behind its hosts; in a password, / ? # and @ are written as %2F %3F %23 "
            'and %40 (urllib.parse.quote(password, safe="") does it)'
        )
    hosts, _, path = before.rpartition("@")[2].partition("/")
    if not hosts:
        raise ConfigError("mongo: a node's URL names no host; expected mongodb://host:27017/database")
    _check_options(rest.partition("?")[2])
    name = database or unquote(path) or DATABASE
    if any(c in name for c in '/\\. "$\0') or not name.isprintable() or len(name.encode()) > 63:
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
    named = [hosts] if isinstance(hosts, str) else hosts
    names = list(named) if isinstance(named, Sequence) else []
    if not names or not all(isinstance(name, str) and name for name in names):
        raise ConfigError(f"mongo: a node's host is {hosts!r}; expected a name, or a list of names")
    login = ""
    if node.get("username"):
        login = quote_plus(str(node["username"]))
        if node.get("password"):
            login += ":" + quote_plus(str(node["password"]))
        login += "@"
    given = node.get("options") or {}
    if not isinstance(given, Mapping):
        raise ConfigError(f"mongo: a node's options are a {type(given).__name__}; expected a mapping")
    options = dict(given)
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


def _unguarded(address: Address) -> list[str]:
    scheme, rest = address.url.split("://", 1)
    before, _, query = rest.partition("?")
    login, _, hosts = before.partition("/")[0].rpartition("@")
    said = {name.lower(): value.lower() for name, _, value in (pair.partition("=") for pair in query.split("&"))}
    tls = said.get("tls", said.get("ssl", "true" if scheme.endswith("+srv") else "false")) == "true"
    here = all(host.startswith(("localhost", "127.", "[::1]", "%2F", "%2f")) for host in hosts.split(","))
    found = []
    if ":" in login and not tls and not here:
        found.append(
            f"{address.shown} is asked with a password over plain TCP, which everybody on the way can see being used; "
            "add tls=true"
        )
    lax = [
        name
        for name in ("tlsInsecure", "tlsAllowInvalidCertificates", "tlsAllowInvalidHostnames")
        if said.get(name.lower()) == "true"
    ]
    if lax:
        found.append(f"{address.shown} is asked with {lax[0]}=true: whoever answers is believed")
    return found
