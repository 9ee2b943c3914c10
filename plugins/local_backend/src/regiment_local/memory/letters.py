"""The dead letters of one queue."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from itertools import count

from regiment.contracts import Letter, Terms, Ticket
from regiment_local.memory.tasks import Entry


class Letters:
    """Letters by id, the oldest first. Every method is called under the store's lock."""

    def __init__(self) -> None:
        self._by_id: dict[str, Letter] = {}
        self.tickets: dict[str, Ticket] = {}
        """Tickets of those that have one, by id."""
        self.ledgers: dict[str, Mapping[str, bytes]] = {}
        """What the runs of those that entered something have entered, by id."""
        self._ids = count(1)

    def __len__(self) -> int:
        return len(self._by_id)

    def bury(self, payload: bytes, task_id: str, reason: bytes, of: Entry, terms: Terms) -> None:
        """Make a dead letter, and forget the oldest above the limit and the age of the terms."""
        id = str(next(self._ids))
        self._by_id[id] = Letter(id, task_id, payload, reason, time.time(), of.priority)
        if of.ticket is not None:
            self.tickets[id] = of.ticket
        if of.ledger:
            self.ledgers[id] = of.ledger
        oldest = time.time() - terms.dead_age
        for old in list(self._by_id.values()):
            if len(self._by_id) <= terms.dead_limit and old.at >= oldest:
                break
            del self._by_id[old.id]
            self._forget(old.id)

    def newest(self, limit: int, after: str | None) -> list[Letter]:
        """The newest first, from behind the letter `after` on."""
        found = list(reversed(self._by_id.values()))
        if after is not None:
            found = [letter for letter in found if int(letter.id) < int(after)]
        return found[: max(0, limit)]

    def find(self, id: str) -> list[Letter]:
        """Those with this id, or of the task with this id; the newest first."""
        return [letter for letter in reversed(self._by_id.values()) if id in (letter.id, letter.task_id)]

    def take(self, id: str) -> Letter | None:
        """Take it out, None if it is not here."""
        self._forget(id)
        return self._by_id.pop(id, None)

    def drop(self, ids: Iterable[str] | None) -> int:
        """Forget these, or all; how many there were."""
        gone = list(self._by_id) if ids is None else [id for id in dict.fromkeys(ids) if id in self._by_id]
        for id in gone:
            del self._by_id[id]
            self._forget(id)
        return len(gone)

    def _forget(self, id: str) -> None:
        self.tickets.pop(id, None)
        self.ledgers.pop(id, None)
