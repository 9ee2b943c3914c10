"""Keys that only one task of the queue has at a time (U1 to U4)."""

from __future__ import annotations

import time

from regiment.contracts import Ticket
from regiment_local.memory.tasks import Claim, Entry


class Keys:
    """Those of one queue: the claims of each key, the holder's first, its successor's behind it."""

    def __init__(self) -> None:
        self._claims: dict[str, list[Claim]] = {}

    def of(self, key: str) -> list[Claim]:
        """The claims that stand."""
        claims = self._claims.get(key)
        if not key or claims is None:
            return []
        for claim in list(claims):
            if claim.over is not None and claim.over <= time.monotonic():
                self._end(claim)
        return self._claims.get(key, [])

    def free(self, ticket: Ticket) -> bool:
        """True if a letter with this ticket may be revived: its key until "done" is free, or it takes none."""
        return ticket.until != "done" or not self.of(ticket.unique)

    def claim(self, entry: Entry, ticket: Ticket) -> None:
        """A new task has the key, or is the successor of who has it. Of one that has ended it takes the key over."""
        if not ticket.unique:
            return
        for claim in [claim for claim in self.of(ticket.unique) if claim.entry is None]:
            self._end(claim)
        entry.claim = Claim(entry, ticket, time.time(), _over(ticket))
        self._claims.setdefault(ticket.unique, []).append(entry.claim)

    def renew(self, claim: Claim, ticket: Ticket) -> None:
        """What holds of a task that took another one's place."""
        claim.ticket, claim.over = ticket, _over(ticket)

    def started(self, entry: Entry) -> None:
        """It is leased: a claim until "start" ends, a successor takes the key."""
        claim = entry.claim
        if claim is None:
            return
        claims = self.of(claim.ticket.unique)
        if claim.ticket.until == "start":
            self._end(claim)
        elif claim in claims[1:]:
            self._end(claims[0])

    def ended(self, entry: Entry, away: bool) -> None:
        """It is done or dead, or, if `away`, taken away by hand: then also a key that has a time is free."""
        claim = entry.claim
        if claim is None:
            return
        if claim.over is None or away:
            self._end(claim)
        else:
            claim.entry = entry.claim = None

    def _end(self, claim: Claim) -> None:
        claims = self._claims.get(claim.ticket.unique, [])
        if claim in claims:
            claims.remove(claim)
        if not claims:
            self._claims.pop(claim.ticket.unique, None)
        if claim.entry is not None:
            claim.entry.claim = None


def _over(ticket: Ticket) -> float | None:
    return None if isinstance(ticket.until, str) else time.monotonic() + ticket.until
