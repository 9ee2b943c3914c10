"""The dead letters of one queue."""

from __future__ import annotations

import time
from collections.abc import Iterable
from itertools import count

from regiment.contracts import Letter, Terms, Ticket


class Letters:
    """Letters by id, the oldest first. Every method is called under the store's lock."""

    def __init__(self) -> None:
        self._by_id: dict[str, Letter] = {}
        self.tickets: dict[str, Ticket] = {}
        """Tickets of those that have one, by id."""
        self._ids = count(1)

    def __len__(self) -> int:
        return len(self._by_id)

    def bury(
        self, payload: bytes, task_id: str, reason: bytes, priority: int, terms: Terms, ticket: Ticket | None
    ) -> None:
        """Make a dead letter, and forget the oldest above the limit and the age of the terms."""
        id = str(next(self._ids))
        self._by_id[id] = Letter(id, task_id, payload, reason, time.time(), priority)
        if ticket is not None:
            self.tickets[id] = ticket
        oldest = time.time() - terms.dead_age
        for old in list(self._by_id.values()):
            if len(self._by_id) <= terms.dead_limit and old.at >= oldest:
                break
            del self._by_id[old.id]
            self.tickets.pop(old.id, None)

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
        self.tickets.pop(id, None)
        return self._by_id.pop(id, None)

    def drop(self, ids: Iterable[str] | None) -> int:
        """Forget these, or all; how many there were."""
        gone = list(self._by_id) if ids is None else [id for id in dict.fromkeys(ids) if id in self._by_id]
        for id in gone:
            del self._by_id[id]
            self.tickets.pop(id, None)
        return len(gone)
