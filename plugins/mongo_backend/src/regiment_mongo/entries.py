"""What runs of a task have entered (extra `ledger`): a field `en` of the held item, the waiting task, the letter: pairs of name and value."""

from __future__ import annotations

from regiment_mongo.layout import Document

ENTRIES = "en"


def entries_of(item: Document) -> dict[str, bytes]:
    """By name; empty if the item has none."""
    return {name: bytes(value) for name, value in item.get(ENTRIES, ())}


def size_of(item: Document) -> int:
    """About how many bytes its entries take in a document."""
    return sum(len(name) + len(value) + 32 for name, value in item.get(ENTRIES, ()))
