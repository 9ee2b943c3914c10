"""The extra `ledger` in memory: entries lie in the task itself, and in its letter."""

from __future__ import annotations

from collections.abc import Mapping

from regiment.contracts import merged_entries
from regiment_local.entries import NONE
from regiment_local.memory.opened import Opened
from regiment_local.memory.tasks import LIVING


class Ledger(Opened):
    """enter."""

    def enter(
        self, queue: str, consumer: str, receipt: int, entries: Mapping[str, bytes] = NONE
    ) -> Mapping[str, bytes] | None:
        found = self._changed()
        with found.lock:
            of = found.look(queue).consumers.get(consumer)
            entry = None if of is None or of.state != LIVING else of.held.get(receipt)
            if entry is None:
                return None
            if entries:
                entry.ledger = merged_entries(entry.ledger, entries)
            return entry.ledger
