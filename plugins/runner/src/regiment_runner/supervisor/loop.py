"""What the supervisor sleeps on: descriptors and what is to be done when one of them is readable."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterable


class Loop:
    """Descriptors with their handlers; one sleep wakes for any of them."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._handlers: dict[int, Callable[[], None]] = {}

    def add(self, fd: int, handler: Callable[[], None]) -> None:
        """Call `handler` whenever `fd` is readable."""
        self._handlers[fd] = handler
        self._poll.register(fd, select.POLLIN)

    def drop(self, fd: int) -> None:
        """Look at `fd` no more; one that is not known changes nothing."""
        if self._handlers.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def sleep(self, until: float, also: Iterable[int]) -> set[int]:
        """Sleep until that monotonic time or until a descriptor is readable, then call handlers; which were readable.

        `also` are descriptors that only wake; whoever is concerned looks after every sleep.
        """
        wakers = list(also)
        for fd in wakers:
            self._poll.register(fd, select.POLLIN)
        ready = self._poll.poll(max(0.0, (until - time.monotonic()) * 1000))
        for fd in wakers:
            self._poll.unregister(fd)
        for fd, _ in ready:
            handler = self._handlers.get(fd)
            if handler is not None:
                handler()
        return {fd for fd, _ in ready}
