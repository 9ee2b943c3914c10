"""What a run of a task has entered: how entries are put together, within the bounds of the extra `ledger`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from regiment.contracts import LARGEST_LEDGER, MOST_ENTRIES

NONE: Final[Mapping[str, bytes]] = MappingProxyType({})


def merged(old: Mapping[str, bytes], new: Mapping[str, bytes]) -> Mapping[str, bytes]:
    """The new ones over the old ones of the same names; a ValueError if they would be too many or too large."""
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
