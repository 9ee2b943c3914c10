"""Where claims are kept, as all places do it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Protocol

GRACE = 60.0
"""Seconds for which a bucket is kept beyond its end: as far as the clocks of hosts may be apart, and a reader may take."""
MARKER = "claims-of-regiment"
"""A file in every place: where it is missing, a folder is not mounted, or another one is."""
TEXT = b"What tasks of regiment claim, in folders by the second at which it is over (docs/claims.md).\n"


class Bucket(NamedTuple):
    """What is kept until one moment."""

    until: int
    blobs: int
    size: int


class Place(Protocol):
    """Bytes by their digest, in buckets. What cannot be reached raises `OSError`, or whatever its driver does."""

    def put(self, digest: str, data: bytes, until: int) -> None:
        """Keep these bytes in a bucket, whole or not at all; safe on disk, or acknowledged, when this returns."""

    def blobs(self, digest: str, size: int, until: int) -> Iterator[bytes]:
        """What is kept under this digest with this size: in the bucket `until` first, then in all that are later."""

    def renew(self, digest: str, size: int, until: int, end: int) -> bool:
        """Keep what is in a bucket until `end`, too; False if it is gone."""

    def there(self) -> bool:
        """True if this is a place of claims: if not, nothing can be said of what is not found."""

    def sweep(self, now: float) -> list[Bucket]:
        """Remove the buckets that are over; those that it has removed."""

    def buckets(self) -> list[Bucket]:
        """What is kept, the earliest end first."""


def ends(names: Iterable[str]) -> list[int]:
    """The buckets among the names of a folder, the earliest end first; whatever else lies there is nobody's business."""
    return sorted(int(name) for name in names if name.isascii() and name.isdigit() and len(name) <= 12)


def later(until: int, names: Callable[[], Iterable[str]]) -> Iterator[int]:
    """The bucket that a claim names, then those that end later, the last one first; they are only looked for if they are wanted,
    and again until there are no new ones: a blob may be renewed while somebody looks for it.
    """
    seen = {until}
    yield until
    while new := [end for end in ends(names()) if end > until and end not in seen]:
        yield from reversed(new)
        seen.update(new)


class Held:
    """A place in this process, for `capture()`."""

    def __init__(self) -> None:
        self._held: dict[int, dict[str, bytes]] = {}

    def put(self, digest: str, data: bytes, until: int) -> None:
        self._held.setdefault(until, {})[digest] = data

    def blobs(self, digest: str, size: int, until: int) -> Iterator[bytes]:
        for end, held in sorted(self._held.items()):
            if end >= until and len(held.get(digest, b"")) == size:
                yield held[digest]

    def renew(self, digest: str, size: int, until: int, end: int) -> bool:
        found = next(self.blobs(digest, size, until), None)
        if found is not None:
            self.put(digest, found, end)
        return found is not None

    def there(self) -> bool:
        return True

    def sweep(self, now: float) -> list[Bucket]:
        over = [one for one in self.buckets() if one.until + GRACE < now]
        for one in over:
            del self._held[one.until]
        return over

    def buckets(self) -> list[Bucket]:
        return [Bucket(end, len(held), sum(map(len, held.values()))) for end, held in sorted(self._held.items())]
