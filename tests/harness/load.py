"""Pushes that go on while something breaks."""

from __future__ import annotations

import random
import threading
from types import TracebackType
from typing import Any, Self

from harness.ledger import Producer
from harness.site import Site
from regiment import Queue
from regiment.errors import StoreUnavailable


class Load:
    """Pushes one task after the other from a thread, written down as the test's own; what a push raised is counted.

    `connector` is its way to the store, `seconds` how long its tasks take.
    """

    def __init__(
        self,
        site: Site,
        connector: Any = None,
        seconds: tuple[float, float] = (0.001, 0.005),
        first: int = 1_000_000,
        **settings: Any,
    ) -> None:
        self.queue = Queue(site.queue.name, connector=connector or site.url, **settings)
        self.producer = Producer(site.ledger, self.queue)
        self.producer.next = first
        self.refused = 0
        """Pushes that raised `StoreUnavailable`."""
        self._seconds, self._over = seconds, threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join(30)
        self.queue.broker.close()
        assert not self._thread.is_alive(), "a push hangs"
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        chance = random.Random(1)
        try:
            while not self._over.wait(0.002):
                try:
                    self.producer.push(seconds=chance.uniform(*self._seconds))
                except StoreUnavailable:
                    self.refused += 1
        except BaseException as error:
            self._error = error
