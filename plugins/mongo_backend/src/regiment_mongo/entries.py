"""What runs of a task have entered (extra `ledger`): a field `en` of the held item, the waiting task, the letter: pairs of name and value."""

from __future__ import annotations

from collections.abc import Mapping

from regiment.contracts import LARGEST_LEDGER, MOST_ENTRIES
from regiment_mongo.layout import Document

ENTRIES = "en"


def entries_of(item: Document) -> dict[str, bytes]:
    """By name; empty if the item has none."""
    return {name: bytes(value) for name, value in item.get(ENTRIES, ())}


def merged(old: Mapping[str, bytes], new: Mapping[str, bytes]) -> dict[str, bytes]:
    """The new ones over the old ones of the same names; `ValueError` if they would be too many or too large."""
    both = {**old, **{name: bytes(value) for name, value in new.items()}}
    if len(both) > MOST_ENTRIES:
        raise ValueError(f"the task would have {len(both)} entries; a task has at most {MOST_ENTRIES}")
    size = sum(len(name.encode()) + len(value) for name, value in both.items())
    if size > LARGEST_LEDGER:
        raise ValueError(
            f"the entries of the task would have {size:,} bytes with their names; at most {LARGEST_LEDGER:,} are kept: "
            "enter a short value, such as an id under which the other side finds the rest"
        )
    return both


def size_of(item: Document) -> int:
    """About how many bytes its entries take in a document."""
    return sum(len(name) + len(value) + 32 for name, value in item.get(ENTRIES, ()))
