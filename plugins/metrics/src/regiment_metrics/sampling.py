"""Looks at a store again and again, in one thread, whoever asks for what was seen: its load does not depend on how many do."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from regiment import log
from regiment.broker import extras
from regiment.contracts import HISTORY, Connector, Counts, Past, Role
from regiment.errors import StoreError
from regiment_cli.serving import counts_of, serving

ENDED = 15.0
"""Seconds between two looks at what has ended; keepers tell it once a minute."""
MEMORY = 120.0
"""Seconds of which the largest load counts: a queue that keeps up is empty at most looks, and needs its workers all the same."""
LEADS = "regiment.metrics"
"""The lock of the store whose owner serves its queues."""


class Standing(NamedTuple):
    """How a queue is."""

    counts: Counts
    workers: int
    rate: float
    """Tasks a second that its workers ended of late, all together."""

    @property
    def load(self) -> int:
        """What is ready or runs."""
        return self.counts.ready + self.counts.leased


class Sample(NamedTuple):
    """What one look has seen."""

    up: bool
    """True if the store has answered."""
    seconds: float
    """How long it took."""
    queues: Mapping[str, Standing] = MappingProxyType({})
    ended: Sequence[Past] = ()
    """What has ended ever, of each queue that has a history."""
    leads: bool = True
    """True if the queues are served here: of the trees of a store that serve metrics, one does, so that sums are right."""
    shown: frozenset[str] | None = None
    """The queues that are served; None: all of them if it `leads`, else none."""

    def shows(self, queue: str) -> bool:
        """True if this queue is served here."""
        return self.leads if self.shown is None else queue in self.shown


def look(store: Connector) -> Mapping[str, Standing]:
    """How each queue of the store is now."""
    served = serving(store)
    counts = counts_of(store, sorted({*store.queues(), *served}))
    return {name: Standing(one, *served.get(name, (0, 0.0))) for name, one in counts.items()}


class Sampler:
    """The thread that looks every `every` seconds, and what it has seen. With an `owner` it is that of a tree: what has ended is
    read there, and one of all trees leads.
    """

    def __init__(self, open: Callable[[Role], Connector], every: float, owner: str | None = None) -> None:
        self._open, self._every, self._owner = open, every, owner
        self._store: Connector | None = None
        self._loads: deque[tuple[float, Mapping[str, int]]] = deque()
        self._over = threading.Event()
        self._throttle = log.Throttle()
        self._ended: Sequence[Past] = ()
        self._counted = 0.0
        self.last = Sample(False, 0.0)

    def run(self) -> None:
        """Look until told to stop."""
        while not self._over.is_set():
            self.sample()
            self._over.wait(self._every)
        if self._store is not None:
            self._store.close()

    def stop(self) -> None:
        """Have `run` return."""
        self._over.set()

    def sample(self) -> None:
        """Look once."""
        began = time.monotonic()
        try:
            if self._store is None:
                self._store = self._open("look")
            queues = look(self._store)
            leads = self._owner is None or self._store.lock_take(LEADS, self._owner, 3 * self._every)
            if self._owner is None and began - self._counted >= ENDED and HISTORY in extras(self._store):
                self._ended = self._store.history(list(queues), "ever", 0)  # type: ignore[attr-defined]
                self._counted = began
        except StoreError as error:
            if self._throttle() is not None:
                log.event(logging.ERROR, "connector.lost", error=str(error))
            self.last = Sample(False, time.monotonic() - began)
            return
        self.last = Sample(True, time.monotonic() - began, queues, self._ended, leads)
        self._loads.append((began, {name: one.load for name, one in queues.items()}))
        while self._loads[0][0] < began - MEMORY:
            self._loads.popleft()

    def most(self, queue: str) -> int:
        """The largest load of a queue in the last two minutes."""
        return max((loads.get(queue, 0) for _, loads in list(self._loads)), default=0)
