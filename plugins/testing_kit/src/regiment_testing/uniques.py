"""The unique keys of captured tasks, as a store with the extra `flow` keeps them, on the clock of the capture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from regiment.contracts import Ticket

Entry = Any
"""A captured task on its way (`regiment_testing.heap`)."""
Key = tuple[str, str]
"""A queue and a key of it."""


class Claim:
    """Who has a key, and who has it next."""

    def __init__(self, holder: Entry, ticket: Ticket, now: float) -> None:
        self.holder = holder
        self.next: Claim | None = None
        self.start = ticket.until == "start"
        self.until = None if isinstance(ticket.until, str) else now + ticket.until
        self.first, self.longest = now, ticket.longest
        self.ended = False
        """True if its holder is done, and its key is held for a time."""


class Uniques:
    """Which task has which key."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._claims: dict[Key, Claim] = {}
        self._of: dict[int, tuple[Key, Entry]] = {}
        """Identity of an entry -> its key."""

    def claim(self, entry: Entry, ticket: Ticket) -> tuple[Entry | None, tuple[str, str] | None]:
        """Let an entry have its key: the waiting one that it replaces, or else id and state of who keeps it out; neither if it is
        new.
        """
        if not ticket.unique:
            return None, None
        key, now = (entry.captured.queue, ticket.unique), self._clock()
        claim, made = self._standing(key), Claim(entry, ticket, now)
        if claim is not None and ticket.clash == "keep":
            return None, (claim.holder.captured.id, self._state(claim))
        self._of[id(entry)] = key, entry
        if claim is None or claim.ended:
            self._claims[key] = made
            return None, None
        runs = not claim.holder.ticket
        old = claim.next if runs else claim
        if runs:
            claim.next = made
        else:
            made.next = claim.next
            self._claims[key] = made
        if old is None:
            return None, None
        made.first = old.first
        self._of.pop(id(old.holder), None)
        return old.holder, None

    def last(self, entry: Entry) -> float:
        """When an entry is due at the latest, however often it is put off."""
        key, _ = self._of[id(entry)]
        claim: Claim | None = self._claims[key]
        while claim is not None and claim.holder is not entry:
            claim = claim.next
        return float("inf") if claim is None or not claim.longest else claim.first + claim.longest

    def started(self, entry: Entry) -> None:
        """It is leased: a key until the start is free, and a successor takes over."""
        key, claim = self._found(entry)
        if claim is None:
            return
        if claim.holder is entry:
            if claim.start:
                self._pass_on(key, claim)
        elif claim.next is not None and claim.next.holder is entry:
            if claim.next.start:
                claim.next = None
            else:
                self._claims[key] = claim.next

    def ended(self, entry: Entry, *, gone: bool = False) -> None:
        """It is done or dead, or (`gone`) purged: then a key that is held for a time is free as well."""
        key, claim = self._found(entry)
        self._of.pop(id(entry), None)
        if claim is None:
            return
        if claim.next is not None and claim.next.holder is entry:
            claim.next = None
        elif claim.holder is entry:
            if claim.until is not None and not gone and claim.next is None:
                claim.ended = True
            else:
                self._pass_on(key, claim)

    def _found(self, entry: Entry) -> tuple[Key, Claim | None]:
        key = self._of.get(id(entry), (("", ""), entry))[0]
        return key, self._claims.get(key)

    def _pass_on(self, key: Key, claim: Claim) -> None:
        if claim.next is None:
            self._claims.pop(key, None)
        else:
            self._claims[key] = claim.next

    def _standing(self, key: Key) -> Claim | None:
        """The claim, if its time is not over."""
        claim = self._claims.get(key)
        if claim is not None and claim.until is not None and claim.until <= self._clock():
            self._pass_on(key, claim)
            return self._claims.get(key)
        return claim

    def _state(self, claim: Claim) -> str:
        if claim.ended:
            return "ended"
        if not claim.holder.ticket:
            return "leased"
        return "ready" if claim.holder.due <= self._clock() else "delayed"
