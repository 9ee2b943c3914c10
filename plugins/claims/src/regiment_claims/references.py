"""What stands in a message for a value that is elsewhere.

A value is named by the SHA-256 of its bytes, and lies in a *bucket*, which is named by the second at which all in it is over. So
nothing is ever touched or counted: a value that is to live longer gets a second name in a later bucket, and a bucket that is over goes whole.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

PARTS = 8
"""Buckets of one time to live: equal contents share one blob within such a part of it."""
FORMAT = 1
"""Of the tag and of what stands for a value."""
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Reference(NamedTuple):
    """Where a value is."""

    digest: str
    """SHA-256 of its bytes, in hexadecimal."""
    size: int
    """Bytes."""
    until: int
    """The end of its bucket, in seconds since the epoch."""

    def shown(self) -> str:
        """For people: `claim of 3.1 MB (sha256 9f86d081884c…)`."""
        return f"claim of {human(self.size)} (sha256 {self.digest[:12]}…)"


def bucket(now: float, ttl: float) -> int:
    """The end of the bucket for what is to be kept from `now` (seconds since the epoch) for at least `ttl` seconds."""
    part = max(1, int(ttl / PARTS))
    return math.ceil((now + ttl) / part) * part


def human(size: int) -> str:
    """Bytes for people, in powers of 1,000: `512 B`, `3.1 MB`."""
    amount, units = float(size), ["B", "kB", "MB", "GB"]
    while amount >= 999.5 and len(units) > 1:
        amount, units = amount / 1000, units[1:]
    return f"{amount:.0f} {units[0]}" if units[0] == "B" or amount >= 99.5 else f"{amount:.1f} {units[0]}"


def written(reference: Reference, seal: str) -> dict[str, Any]:
    """What stands in the place of a value: readable wherever arguments are shown.

    `seal` is a random word of the push, which its tag holds too: no data that somebody pushes can pass for a claim.
    """
    return {f"claim of {human(reference.size)}": [*reference, seal]}


def read(value: object) -> Reference | None:
    """The reference that was written down as a list of digest, size and until; None for anything else."""
    if not isinstance(value, (list, tuple)) or len(value) < 3:
        return None
    digest, size, until = value[:3]
    whole = type(size) is int and type(until) is int and 0 < size < 2**31 and 0 < until < 2**40
    return Reference(digest, size, until) if whole and type(digest) is str and _DIGEST.fullmatch(digest) else None


def references(kwargs: Mapping[str, Any], seal: str) -> dict[str, Reference]:
    """The arguments that are claims of the push with this seal."""
    found: dict[str, Reference] = {}
    for name, value in kwargs.items():
        if type(value) is dict and len(value) == 1:
            (inner,) = value.values()
            if type(inner) is list and len(inner) == 4 and inner[3] == seal and (one := read(inner)) is not None:
                found[name] = one
    return found
