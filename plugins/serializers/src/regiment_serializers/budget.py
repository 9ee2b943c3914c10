"""Bounds for foreign bytes: how many elements they may become, and which keys they may choose.

One byte of msgpack can become an empty list of 64 bytes, so a limit of bytes does not limit memory. An attacker who
chooses keys that hash alike can make one mapping of 60,000 entries take half a minute. Both ends count alike, so every
message that a push accepted can be read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from regiment.errors import DecodeError

ELEMENTS = 1 << 20
"""Elements of a message of up to 8 MiB: items of lists, tuples, sets, entries of dicts, and the collections."""
BYTES_EACH = 8
"""A larger message (`payload_limit` was raised) may have one element for this many bytes."""
ALIKE = 64
"""The most keys of one mapping, or elements of one set, with the same hash. Floats that are powers of two have 34."""
COLLECTIONS = frozenset([dict, list, tuple, set, frozenset])
_FIRST, _LAST = -(2**63), 2**64 - 1


def most_elements(size: int) -> int:
    """How many elements a body of `size` bytes may have."""
    return max(ELEMENTS, size // BYTES_EACH)


def too_many(most: int) -> str:
    return f"has more than {most:,} elements"


class Budget:
    """The number of elements that one message may still become."""

    __slots__ = ("_left", "_most")

    def __init__(self, size: int) -> None:
        self._left = self._most = most_elements(size)

    def spend(self, number: int) -> None:
        """Count one collection of `number` elements; `DecodeError` if that is too many."""
        self._left -= number + 1
        if self._left < 0:
            raise DecodeError(f"the message {too_many(self._most)}; it was not read to its end")


def insist_on_budget(value: Any, size: int) -> None:
    """Raise `ValueError` for a value of `size` bytes that `Budget` would refuse when it is read."""
    most = left = most_elements(size)
    level = [value]
    while level:
        left -= sum(map(len, level)) + len(level)
        if left < 0:
            raise ValueError(f"it {too_many(most)}; push where they are, or fewer at a time")
        dicts = [one for one in level if type(one) is dict]
        inner = [item for one in level if type(one) is not dict for item in one if type(item) in COLLECTIONS]
        inner += [item for one in dicts for item in one.values() if type(item) in COLLECTIONS]
        inner += [key for one in dicts for key in one if type(key) in COLLECTIONS]
        level = inner


def key_problem(keys: Iterable[Any]) -> str | None:
    """The problem of the keys of a dict, or None."""
    for key in keys:
        if type(key) is int and not _FIRST <= key <= _LAST:
            return "an integer of more than 64 bits is a key of a dict; use its text, or a tuple"
    return None


def insist_on_keys(keys: Sequence[Any]) -> None:
    """Raise `DecodeError` for keys that were made to hash alike, before anything is built from them."""
    if len(keys) <= ALIKE:
        return
    hashes = [hash(key) for key in keys]
    if len(set(hashes)) < len(hashes) - ALIKE and max(Counter(hashes).values()) > ALIKE:
        raise DecodeError(
            f"more than {ALIKE} keys of a dict, or elements of a set, hash alike; no message of ours has so many"
        )
