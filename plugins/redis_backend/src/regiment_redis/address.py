"""Where a Redis is: URLs and option mappings, read once, with problems in words and without secrets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from regiment.errors import ConfigError, nearest

SCHEMES = {
    "redis": "direct",
    "rediss": "direct",
    "unix": "direct",
    "redis+sentinel": "sentinel",
    "redis+cluster": "cluster",
}
PORTS = {"sentinel": 26379}


class Address(NamedTuple):
    """One Redis, one sentinel set or one cluster. `hosts` are the servers to ask first; `path` is a Unix socket."""

    kind: str = "direct"
    hosts: tuple[tuple[str, int], ...] = (("localhost", 6379),)
    path: str | None = None
    service: str | None = None
    db: int = 0
    username: str | None = None
    password: str | None = None
    sentinel_username: str | None = None
    sentinel_password: str | None = None
    tls: bool = False
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    verify: bool = True
    check_hostname: bool = True

    def __repr__(self) -> str:
        return f"<Address {self}>"

    def __str__(self) -> str:
        """The URL without user, password and options."""
        if self.path is not None:
            return f"unix://{self.path}" + (f"?db={self.db}" if self.db else "")
        hosts = ",".join(f"[{h}]:{p}" if ":" in h else f"{h}:{p}" for h, p in self.hosts)
        if self.kind == "cluster":
            return f"redis+cluster://{hosts}"
        if self.kind == "sentinel":
            return f"redis+sentinel://{hosts}/{self.service}/{self.db}"
        return f"{'rediss' if self.tls else 'redis'}://{hosts}/{self.db}"


_OPTIONS = {
    "db": int,
    "username": str,
    "password": str,
    "sentinel_username": str,
    "sentinel_password": str,
    "tls": bool,
    "ca": str,
    "certificate": str,
    "key": str,
    "verify": bool,
    "check_hostname": bool,
}
_OTHER_NAMES = {
    "ssl_ca_certs": "ca",
    "ssl_certfile": "certificate",
    "ssl_keyfile": "key",
    "ssl": "tls",
    "ssl_check_hostname": "check_hostname",
    "database": "db",
}
"""Names of redis-py, so that a URL which works there works here; and Sergeant's `database`."""

_WORDS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


def parse(url: str) -> Address:
    """The address that a URL names; `ConfigError` says what is wrong with it."""
    scheme, parts = _split(url)
    kind = SCHEMES[scheme]
    login, _, location = parts.netloc.rpartition("@")
    username, _, password = login.partition(":")
    options: dict[str, object] = {
        "username": unquote(username) or None,
        "password": unquote(password) or None,
        "tls": scheme == "rediss",
    }
    options |= _read_options(dict(parse_qsl(parts.query, keep_blank_values=True)))
    if scheme == "unix":
        if not parts.path.strip("/"):
            raise ConfigError(f'"{scheme}://" names no socket; expected unix:///path/to/redis.sock')
        return Address(path=unquote(parts.path), **options)  # type: ignore[arg-type]
    words = [unquote(word) for word in parts.path.split("/") if word]
    if kind == "sentinel":
        if not words:
            raise ConfigError(
                "the redis+sentinel:// URL names no service; expected redis+sentinel://host:26379,host:26379/service/0"
            )
        options["service"] = words.pop(0)
    if words:
        options["db"] = _number(words.pop(0), "the database in the URL", 0, 1_000_000)
    if words:
        raise ConfigError(f"the {scheme}:// URL has {'/'.join(words)!r} behind the database; expected nothing")
    if kind == "cluster" and options.get("db"):
        raise ConfigError(f"database {options['db']}: a Redis Cluster has only database 0")
    hosts = tuple(_host(text, PORTS.get(kind, 6379)) for text in location.split(",") if text)
    if kind == "direct" and len(hosts) > 1:
        raise ConfigError(
            f"the {scheme}:// URL names {len(hosts)} hosts; expected one. Independent servers go into nodes=[…], "
            "others need redis+sentinel:// or redis+cluster://"
        )
    hosts = hosts or (("localhost", PORTS.get(kind, 6379)),)
    return Address(kind=kind, hosts=hosts, **options)  # type: ignore[arg-type]


def _split(url: str) -> tuple[str, SplitResult]:
    """The scheme and the parts of a URL; no error repeats what may be a password."""
    scheme = url.partition("://")[0]
    if "://" not in url or scheme not in SCHEMES:
        # The rest of the URL may hold a password and is not repeated.
        # What stands in front of :// may be anything where it is no scheme, a password too.
        shown = (
            scheme if "://" in url and scheme.isalpha() else "no scheme that it knows" if "://" in url else "no scheme"
        )
        raise ConfigError(
            f"the URL of the redis connector has {shown!r}; expected one of "
            f"{', '.join(f'{known}://' for known in SCHEMES)}.{nearest(scheme, SCHEMES)}"
        )
    try:
        parts = urlsplit(url)
    except ValueError:  # its text repeats the password
        raise ConfigError(
            f"the {scheme}:// URL of the redis connector cannot be read; expected {scheme}://user:password@host:6379/0"
        ) from None
    if scheme != "unix" and ("@" in parts.path + parts.fragment or ("@" in parts.query and "@" not in parts.netloc)):
        raise ConfigError(
            f"the {scheme}:// URL of the redis connector has an @ behind its hosts; in a password, / ? # and @ are written "
            'as %2F %3F %23 and %40 (urllib.parse.quote(password, safe="") does it)'
        )
    return scheme, parts


def node(value: str | Mapping[str, object]) -> Address:
    """One of `nodes`: a URL, or a mapping with `url`, or with `host` and `port` or `path`, and options."""
    if isinstance(value, str):
        return parse(value)
    if not isinstance(value, Mapping):
        raise ConfigError(f"a node is a {type(value).__name__}; expected a URL or a mapping with host and port")
    fields = dict(value)
    url = fields.pop("url", None)
    start = parse(str(url)) if url is not None else Address()
    host, port = fields.pop("host", None), fields.pop("port", None)
    path = fields.pop("path", None)
    if host is not None or port is not None:
        was = start.hosts[0]
        number = was[1] if port is None else _number(port, "a node's port", 1, 65535)
        start = start._replace(hosts=((str(host or was[0]), number),))
    if path is not None:
        start = start._replace(path=str(path))
    return start._replace(**_read_options(fields, ("url", "host", "port", "path")))  # type: ignore[arg-type]


def _read_options(given: Mapping[str, object], also: Iterable[str] = ()) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in given.items():
        if name == "ssl_cert_reqs":
            found["verify"] = value not in ("none", "CERT_NONE")
            continue
        field = _OTHER_NAMES.get(name, name)
        if field not in _OPTIONS:
            known = [*also, *_OPTIONS]
            hint = nearest(name, known)
            # What resembles no option may be the end of a password with an & in it.
            shown = name if hint else f"{name[:3]}…"
            raise ConfigError(
                f'the redis connector knows no address option "{shown}".{hint} It knows: {", ".join(known)}'
            )
        kind = _OPTIONS[field]
        if kind is int:
            found[field] = _number(value, f'the address option "{name}"', 0, 1_000_000)
        elif kind is bool:
            word = value if isinstance(value, bool) else _WORDS.get(str(value).lower())
            if word is None:
                raise ConfigError(f'the address option "{name}" is {_begun(value)}; expected true or false')
            found[field] = word
        else:
            found[field] = None if value is None else str(value)
    return found


def _host(text: str, port: int) -> tuple[str, int]:
    host, colon, number = text.rpartition(":")
    if not colon or text.endswith("]"):
        return text.strip("[]"), port
    return host.strip("[]") or "localhost", _number(number, f"the port of {host!r}", 1, 65535)


def _begun(value: object) -> str:
    """The beginning of a value: where an & is missing, the rest may be the next option, a password too."""
    shown = repr(value)
    return shown if len(shown) <= 12 else f"{shown[:8]}…"


def _number(value: object, what: str, low: int, high: int) -> int:
    try:
        number = int(value)  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError):
        number = low - 1
    if isinstance(value, bool) or not low <= number <= high:
        raise ConfigError(f"{what} is {_begun(value)}; expected a number from {low} to {high}")
    return int(number)


def unguarded(address: Address) -> list[str]:
    """What somebody between us and this server could do, one sentence each; a host is not asked for over the loopback."""
    found = []
    here = address.path is not None or all(
        host in ("localhost", "::1") or host.startswith("127.") for host, _ in address.hosts
    )
    if not here and not address.tls and (address.password or address.sentinel_password):
        found.append(
            f"{address} is asked with a password over plain TCP, which everybody on the way can read; use rediss://"
        )
    if address.tls and not address.verify:
        found.append(f"{address} is asked with verify=false: whoever answers is believed; name the authority with ca=…")
    elif address.tls and not address.check_hostname:
        found.append(
            f"{address} is asked with check_hostname=false: any server with a certificate of the authority is believed"
        )
    return found
