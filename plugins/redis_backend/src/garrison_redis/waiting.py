"""Waiting without polling: a blocking pop of the marks that a push leaves for those who sleep.

The pop runs on a connection of its own. When a wait ends for another reason (the wake-up descriptor, the time), the pop
stays under way and the next wait for the same queues goes on with it: nothing is canceled, so no reply can come at the
wrong moment. A mark that arrives meanwhile only makes the next wait return early.
"""

from __future__ import annotations

import select
import time
from collections.abc import Sequence

from garrison_redis.link import ClusterLink, Link
from garrison_redis.wire import Refusal, Wire, pack, refused

BLOCK = 5
"""Seconds of one blocking pop: a connection that went dead in silence is noticed this much and a second later."""


class _Pop:
    """One blocking pop and its connection."""

    def __init__(self, link: Link, keys: tuple[str, ...]) -> None:
        self.link, self.keys = link, keys
        self.wire: Wire | None = None
        self.until = 0.0

    def begin(self) -> Wire:
        """The connection with a pop under way."""
        if self.wire is not None and self.wire.open and self.until > time.monotonic():
            return self.wire
        if self.wire is None or not self.wire.open or self.until:
            # Also where a reply is overdue: whatever comes now may belong to any command.
            self.close()
            self.wire = self.link.connect()
        self.wire.send(pack(("BLPOP", *self.keys, BLOCK)))
        self.until = time.monotonic() + BLOCK + 1.0
        return self.wire

    def take(self) -> str | None:
        """The key that was popped, None if the time of the pop is over or its reply is not complete."""
        assert self.wire is not None
        reply = self.wire.ready()
        if reply is False:
            return None
        self.until = 0.0
        if isinstance(reply, Refusal):
            self.close()
            if str(reply).startswith("MOVED"):
                self.link.moved(reply)
                return None
            raise refused(reply, self.link.ready().where)
        return None if reply is None else reply[0].decode()

    def close(self) -> None:
        if self.wire is not None:
            self.wire.close()
        self.wire, self.until = None, 0.0


class Watch:
    """The pops of one Redis: one for all queues, in a cluster one for each."""

    def __init__(self, root: Link) -> None:
        self._root = root
        self._pops: dict[tuple[str, ...], _Pop] = {}

    def wait(
        self, consumers: Sequence[tuple[str, str, str]], seconds: float, wake_fd: int | None
    ) -> list[str]:
        """Sleep until one of the (stem, queue, consumer) was marked; returns the queues that were."""
        names = {f"{stem}:mark:{consumer}": queue for stem, queue, consumer in consumers}
        pops = self._begin(list(names))
        until = time.monotonic() + seconds
        while True:
            poll = select.poll()
            by_fd: dict[int, _Pop] = {}
            for pop in pops:
                fd = pop.begin().sock.fileno()
                by_fd[fd] = pop
                poll.register(fd, select.POLLIN)
            if wake_fd is not None:
                poll.register(wake_fd, select.POLLIN)
            now = time.monotonic()
            nap = min([until, *(pop.until for pop in pops)]) - now
            found = []
            events = poll.poll(max(nap, 0) * 1000)
            for fd, _ in events:
                if fd in by_fd and (key := by_fd[fd].take()) is not None:
                    found.append(names[key])
            if found or any(fd == wake_fd for fd, _ in events) or time.monotonic() >= until:
                return found

    def once(self, key: str, seconds: float) -> None:
        """Sleep until something is pushed to `key`, at most `seconds`."""
        wire = self._root.link(key).connect()
        try:
            reply = wire.block(pack(("BLPOP", key, f"{max(seconds, 0.001):.3f}")), seconds)
        finally:
            wire.close()
        if isinstance(reply, Refusal):
            raise refused(reply, wire.where)

    def descriptors(self) -> list[int]:
        """The sockets of pops under way; for waiting on several Redis at once."""
        return [
            pop.wire.sock.fileno()
            for pop in self._pops.values()
            if pop.wire is not None and pop.wire.open
        ]

    def _begin(self, keys: list[str]) -> list[_Pop]:
        # A blocking pop of several keys is refused by a cluster unless they are in one slot.
        groups = [(key,) for key in keys] if isinstance(self._root, ClusterLink) else [tuple(keys)]
        for old in [group for group in self._pops if group not in groups]:
            self._pops.pop(old).close()
        for group in groups:
            link = self._root.link(group[0])
            if group not in self._pops or self._pops[group].link is not link:
                if group in self._pops:
                    self._pops[group].close()
                self._pops[group] = _Pop(link, group)
        return [self._pops[group] for group in groups]

    def close(self) -> None:
        for pop in self._pops.values():
            pop.close()
        self._pops.clear()
