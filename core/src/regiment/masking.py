"""What people see of a store's URL: scheme, hosts, database, and nothing else."""

from __future__ import annotations

import re

_HOST = r"(?:\[[0-9a-fA-F:.%]+\]|[\w.\-]+)(?::\d{1,5})?"
_HOSTS = re.compile(rf"(?:{_HOST}|:\d{{1,5}})(?:,{_HOST})*")
_PATH = re.compile(r"[\w.\-/]{0,200}")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*")
_URL = re.compile(r"\b[A-Za-z][A-Za-z0-9+.\-]*://[^\s'\"<>]*")


class Url(str):
    """A URL whose `repr` shows no user, no password and no option."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(shown_url(self))


def shown_url(url: str) -> str:
    """Scheme, hosts and database of a URL. What could be anything else is not shown: `redis://…`."""
    scheme, mark, rest = url.partition("://")
    if not mark or not _SCHEME.fullmatch(scheme):
        scheme, colon, rest = url.partition(":")
        return url if not rest else f"{scheme[:20]}{colon}…"
    at = min((rest.index(c) for c in "/?#" if c in rest), default=len(rest))
    authority, behind = rest[:at], rest[at:]
    path = re.split(r"[?#]", behind, maxsplit=1)[0]
    if not authority:
        return f"{scheme}://{path}"  # a file or a socket: nobody logs in where no host is
    hosts = authority.rpartition("@")[2]
    # An @ further on: a password with a / or ? in it, which was taken for the end of the hosts.
    if "@" in behind or not _HOSTS.fullmatch(hosts) or not _PATH.fullmatch(path):
        return f"{scheme}://…"
    return f"{scheme}://{hosts}{path}"


def masked(text: str) -> str:
    """A text of others, with each URL in it as `shown_url` shows it."""
    return _URL.sub(lambda found: _known(found[0]), text) if "://" in text else text


def _known(url: str) -> str:
    bare = url.rstrip(".,;:)]}…")
    return shown_url(bare) + url[len(bare) :]


def shown(value: object) -> str:
    """`repr` of a setting's value without secrets: of a string that is a URL its shown parts."""
    if isinstance(value, str) and "://" in value:
        return repr(shown_url(value))
    return masked(repr(value))
