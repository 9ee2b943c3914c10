"""Who follows which record, and the marks that are left for them (V1 to V5)."""

from __future__ import annotations

import time

from regiment.contracts import ANSWERED_VALUE, Followed, Record
from regiment_local.memory.bell import Bell

FEW = 64
"""So many registrations are not worth a sweep."""


class Inbox:
    """The marks for one connector, and the bell that says that there is one."""

    def __init__(self) -> None:
        self.bell = Bell()
        self.marks: dict[Followed, Record | None] = {}

    def take(self) -> dict[Followed, Record | None]:
        """All marks, which are then gone."""
        self.bell.hush()
        taken, self.marks = self.marks, {}
        return taken


class Followers:
    """Those of one store. Every method is called under its lock."""

    def __init__(self) -> None:
        self._of: dict[Followed, dict[Inbox, tuple[int, float]]] = {}
        """For each follower the lowest rank that it waits for, and until when."""
        self._enough = FEW

    def follow(self, inbox: Inbox, key: Followed, rank: int, seconds: float) -> None:
        """Leave a mark there when this record is kept with at least this rank, within these seconds."""
        self._of.setdefault(key, {})[inbox] = (rank, time.monotonic() + seconds)
        if len(self._of) > self._enough:
            self._sweep()
            self._enough = 2 * len(self._of) + FEW

    def leave(self, inbox: Inbox, key: Followed) -> None:
        """This one follows the record no longer."""
        self._of.get(key, {}).pop(inbox, None)
        inbox.marks.pop(key, None)

    def kept(self, key: Followed, record: Record) -> None:
        """Leave a mark for everybody who waits for it; they follow it no longer."""
        now, waiting = time.monotonic(), self._of.pop(key, {})
        later: dict[Inbox, tuple[int, float]] = {}
        for inbox, (rank, until) in waiting.items():
            if until <= now:
                continue
            if record.rank < rank:
                later[inbox] = (rank, until)
                continue
            inbox.marks[key] = record if len(record.value) <= ANSWERED_VALUE else None
            inbox.bell.ring()
        if later:
            self._of[key] = later

    def forget(self, inbox: Inbox) -> None:
        """Its connector is closed."""
        for waiting in self._of.values():
            waiting.pop(inbox, None)

    def _sweep(self) -> None:
        now = time.monotonic()
        for key, waiting in list(self._of.items()):
            for inbox in [one for one, (_, until) in waiting.items() if until <= now]:
                del waiting[inbox]
            if not waiting:
                del self._of[key]
