"""The extra `ledger`: what a run of a task has done so far, written beside its delivery, for the run that comes after a crash.

A store that keeps the extra says so in `Capabilities(extras=frozenset({"ledger"}))`, and has the verb of `Ledgered` beside those of
`Connector`. Rules G1 to G5 are in `docs/guarantees.md`. A delivery without entries costs what it costs without this extra.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol, runtime_checkable

from regiment.contracts.store import Connector

LEDGER = "ledger"
"""The name of the extra."""
MOST_ENTRIES = 64
"""Entries of one task."""
LARGEST_LEDGER = 16 * 1024
"""Bytes of all entries of one task, names in UTF-8 and values."""


@runtime_checkable
class Ledgered(Connector, Protocol):
    """A connector with the extra `ledger`."""

    def enter(
        self, queue: str, consumer: str, receipt: int, entries: Mapping[str, bytes] = MappingProxyType({})
    ) -> Mapping[str, bytes] | None:
        """Write entries beside a delivery that this consumer holds, over those of the same names; all that are there then. None, and
        nothing is written, if it does not hold it (any more): it was settled, released, taken back, or the consumer is fenced, closed
        or unknown (G2). Without entries it only reads, and asks whether the delivery is still held.

        One atomic step, as durable as a push; a repeat is harmless. The entries stay with the task (G1): `Back`, `Again`, `Park`, `release`,
        taking back, `Dead` and `revive` carry them; `Done`, `purge`, `drop` and `steer(drop=True)` end them. `ValueError`, and nothing is
        written, if the task would then have more than `MOST_ENTRIES`, or more than `LARGEST_LEDGER` bytes of them.
        """


def merged_entries(old: Mapping[str, bytes], new: Mapping[str, bytes]) -> dict[str, bytes]:
    """For stores: the new entries over the old ones of the same names; `ValueError` if they would be too many or too large."""
    both = {**old, **{name: bytes(value) for name, value in new.items()}}
    size = sum(len(name.encode()) + len(value) for name, value in both.items())
    if said := excess_of_entries(len(both), size):
        raise ValueError(said)
    return both


def excess_of_entries(entries: int, size: int) -> str:
    """For stores: which bound so many entries of so many bytes exceed, in words; empty if none."""
    if entries > MOST_ENTRIES:
        return f"the task would have {entries} entries; a task has at most {MOST_ENTRIES}"
    if size > LARGEST_LEDGER:
        return (
            f"the entries of the task would have {size:,} bytes with their names; at most {LARGEST_LEDGER:,} are kept: "
            "enter a short value, such as an id under which the other side finds the rest"
        )
    return ""
