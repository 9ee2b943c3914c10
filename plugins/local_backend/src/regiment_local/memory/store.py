"""Everything that connectors of one name share."""

from __future__ import annotations

from itertools import count
from threading import RLock

from regiment.contracts.history import Slices
from regiment_local.memory.following import Followers
from regiment_local.memory.names import Names
from regiment_local.memory.queue import Queue


class Kept:
    """What the extra `history` keeps in one store, under its lock."""

    def __init__(self) -> None:
        self.slices: dict[tuple[str, str, int], tuple[float, Slices]] = {}
        """(queue, step, at) -> until when it is kept, and the slice."""
        self.sources: dict[tuple[str, str], tuple[float, int]] = {}
        """(queue, source) -> until when it is kept, and its last number."""


class Store:
    """All queues of one name, and what is kept by name beside them; changed and read under its lock."""

    def __init__(self) -> None:
        self.lock = RLock()
        self.queues: dict[str, Queue] = {}
        self.names = Names(self.lock)
        self.followers = Followers()
        self.history = Kept()
        self.versions = count(1)
        """Versions of records: one for each step that keeps some, and none again."""

    def queue(self, name: str) -> Queue:
        """The queue, which is made if it is absent."""
        found = self.queues.get(name)
        if found is None:
            found = self.queues[name] = Queue()
        return found

    def look(self, name: str) -> Queue:
        """The queue, or an empty one that nobody keeps."""
        return self.queues.get(name) or Queue()


_stores: dict[str, Store] = {}


def store(name: str) -> Store:
    """The store of this name in this process."""
    return _stores.setdefault(name, Store())
