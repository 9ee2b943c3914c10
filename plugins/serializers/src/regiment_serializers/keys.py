"""The keys of what signs: which are good enough, and whether one of them made a signature."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence

SHORTEST = 16
FEWEST = 8
"""Different characters of a key; one with fewer was typed and not made, and can be guessed."""


def problems(part: str, newest: Sequence[tuple[str, object]], old: object, name: str, first: int = 0) -> list[str]:
    """All problems of the keys that sign (each with its option) and of the `old` ones, which stand in the option `name` from
    `first` on. The values are secret, so no text shows them.
    """
    found = []
    for option, key in newest:
        if not _good(key):
            found.append(
                f"{part}: {option} is {_seen(key)}; expected a secret of at least {SHORTEST} "
                "characters, such as secrets.token_hex(32) makes"
            )
        elif len(set(str(key))) < FEWEST:
            found.append(
                f"{part}: {option} has fewer than {FEWEST} different characters; expected a secret that was made and not "
                "typed, such as secrets.token_hex(32) makes"
            )
    if not isinstance(old, (list, tuple)):
        return [*found, f"{part}: {name} is a {type(old).__name__}; expected a list of keys"]
    return found + [
        f"{part}: {name}[{at}] is {_seen(one)}; expected at least {SHORTEST} characters"
        for at, one in enumerate(old, first)
        if not _good(one)
    ]


def in_bytes(keys: Iterable[str]) -> list[bytes]:
    return [one.encode("utf-8", "surrogatepass") for one in keys]


def signed(digest: bytes, data: bytes, keys: Iterable[bytes]) -> bool:
    """Whether one of the keys signed these bytes."""
    return any(hmac.compare_digest(digest, hmac.digest(key, data, "sha256")) for key in keys)


def _good(key: object) -> bool:
    return isinstance(key, str) and len(key) >= SHORTEST


def _seen(key: object) -> str:
    if key is None:
        return "missing"
    return f"{len(key)} characters long" if isinstance(key, str) else f"a {type(key).__name__}"
