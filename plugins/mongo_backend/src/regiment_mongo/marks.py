"""Hearing of marks: the same listener that wakes workers, and a look at what it cannot have seen."""

from __future__ import annotations

from regiment_mongo.following import Follows
from regiment_mongo.wake import Listener, Waits


class Marks(Waits, Follows):
    """Of one cluster."""

    _ear: tuple[Listener, int] | None = None
    """The listener, and its rounds: another one, or another round, may have missed a mark."""
    _called = -1

    def listen_for_marks(self) -> None:
        """Before anything is followed, so that no hint falls between."""
        listener = self.listener()
        if self._ear is None:
            self._ear = (listener, listener.rounds)

    def heard_all(self) -> bool:
        """False, once, after a time in which a mark may have been lost, with a member of the set or with its documents."""
        listener = self.listener()
        if self._ear is None or (self._ear[0] is listener and self._ear[1] == listener.rounds):
            return True
        self._ear, self._called = (listener, listener.rounds), -1
        return False

    def called(self) -> bool:
        """Whether a mark may have been left since this was asked last."""
        count = self.listener().count(f"r:{self.inbox}")
        called, self._called = self.more or self._called != count, count
        return called
