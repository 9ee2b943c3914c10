"""Waiting without polling: a blocking pop of the marks that a push leaves for those who sleep.

All sleepers of a queue pop from one list, so a mark reaches somebody who is really there. The pop runs on a connection of
its own and never outlives its wait: it would take marks from those who still sleep. What ends a wait early (the wake-up
descriptor, a task that is due) ends the pop by CLIENT UNBLOCK, and its reply is read before the connection is used again.
A wait that is over by its length ends by itself: a thousand idle workers then send two requests each time, not three.

Where more than one mark is wanted, a plain pop of the rest is sent behind the blocking one. The server keeps it until that has
ended, so both answers come at once.
"""

from __future__ import annotations

import select
import time
from collections.abc import Mapping
from typing import Any

from regiment.errors import StoreUnavailable
from regiment_redis.link import ClusterLink, Link
from regiment_redis.reach import pack
from regiment_redis.wire import Refusal, Wire, refused

BLOCK = 5.0
"""Seconds of one blocking pop: a connection that went dead in silence is noticed this much and a second later."""

LATE = 0.15
"""Seconds that the server is given to end a pop: an idle server looks at its timeouts every 0.1 s (hz 10)."""


class _Pop:
    """A connection for blocking pops, each of one value, or of that and `rest` more of each key."""

    def __init__(self, link: Link, rest: int) -> None:
        self.link, self._rest = link, rest
        self.wire: Wire | None = None
        self.id = 0
        self.late = 0.0
        self.waits = False
        self.values: dict[str, list[bytes]] = {}
        """What was popped last, by key."""
        self._sent: tuple[str, ...] = ()

    def begin(self, keys: tuple[str, ...], seconds: float) -> None:
        """Send a pop that ends by itself 2 ms after `seconds` or BLOCK, so that it is never sent again for a last millisecond."""
        if self.wire is None or not self.wire.open:
            self.wire = self.link.connect()
            self.id = self.wire.ask(pack(("CLIENT", "ID")))
        block = min(seconds, BLOCK) + 0.002
        self._sent, self.values = keys if self._rest else (), {}
        words = pack(("BLPOP", *keys, f"{block:.3f}"))
        self.wire.send(words + b"".join(pack(("LPOP", key, self._rest)) for key in self._sent))
        self.late = time.monotonic() + block + 1.0
        self.waits = True

    def take(self) -> str | None:
        """The key that was popped; None if the pop ended with nothing, or its reply is not complete (`waits`)."""
        assert self.wire is not None
        reply = self.wire.ready()
        if reply is False:
            return None
        self.waits, self.late = False, 0.0
        if isinstance(reply, Refusal):
            self.close()
            if str(reply).startswith("MOVED"):
                self.link.moved(reply)
                return None
            raise refused(reply, self.wire.where if self.wire else str(self.link.address))
        if reply is not None:
            self.values.setdefault(str(reply[0], "utf-8"), []).append(reply[1])
        for key in self._sent:
            while (rest := self.wire.ready()) is False:
                pass  # it is on its way
            if isinstance(rest, Refusal):
                self.close()
                raise refused(rest, str(self.link.address))
            if rest:
                self.values.setdefault(key, []).extend(rest)
        return next(iter(self.values), None)

    def end(self) -> str | None:
        """End the pop that is under way; the key that it took all the same, or None."""
        wire = self.wire
        assert wire is not None
        if sleep([wire.sock.fileno()], 0):
            key = self.take()
            if not self.waits:
                return key
        until = time.monotonic() + wire.timeout
        while time.monotonic() < until:
            # The server may read this before it has read the pop, and then unblocks nobody: so again, soon.
            self.link.command("CLIENT", "UNBLOCK", self.id)
            if sleep([wire.sock.fileno()], 0.005):
                key = self.take()
                if not self.waits:
                    return key
        raise StoreUnavailable(f"{wire.where} did not end a blocking pop")

    def close(self) -> None:
        if self.wire is not None:
            self.wire.close()
        self.wire, self.waits = None, False


class Watch:
    """The blocking pops of one Redis: one for all queues, in a cluster one for each."""

    def __init__(self, root: Link, rest: int = 0) -> None:
        self._root, self._rest = root, rest
        self._pops: dict[tuple[Link, str], _Pop] = {}
        self._keys: dict[_Pop, tuple[str, ...]] = {}

    def wait(self, marks: Mapping[str, str], seconds: float, wake_fd: int | None, exact: bool) -> list[str]:
        """Sleep until something can be popped from one of the lists `marks` (key -> queue); returns their queues.
        A wait that is not `exact` may be LATE longer.
        """
        until = time.monotonic() + seconds
        last = until if exact else until + LATE
        found: list[str] = []
        fds = [] if wake_fd is None else [wake_fd]
        try:
            self.begin(list(marks), seconds)
            while (left := last - time.monotonic()) > 0:
                ready = self.sleep(left, fds)
                found = [marks[key] for key in self.taken(ready, until)]
                if found or wake_fd in ready or not self.descriptors():
                    break
            return found + [marks[key] for key in self.end()]
        except BaseException:
            self.close()
            raise

    # The steps of a wait, for a wait on several Redis at once.

    def begin(self, keys: list[str], seconds: float) -> None:
        """Send the pops."""
        # A blocking pop of several keys is refused by a cluster unless they are in one slot.
        clustered = isinstance(self._root, ClusterLink)
        groups: list[tuple[str, ...]] = [(key,) for key in keys] if clustered else [tuple(keys)]
        used = {}
        for group in groups:
            link = self._root.link(group[0])
            place = (link, group[0] if clustered else "")
            pop = self._pops.setdefault(place, _Pop(link, self._rest))
            used[place] = pop
            self._keys[pop] = group
            pop.begin(group, seconds)
        for place in [place for place in self._pops if place not in used]:
            pop = self._pops.pop(place)
            self._keys.pop(pop, None)
            pop.close()

    def descriptors(self) -> list[int]:
        """The sockets on which something may come."""
        return [pop.wire.sock.fileno() for pop in self._pops.values() if pop.waits and pop.wire is not None]

    def sleep(self, seconds: float, more: list[int]) -> set[int]:
        """Poll the pops and the descriptors `more`; returns those that are readable."""
        return sleep([*self.descriptors(), *more], min(seconds, self.late()))

    def late(self) -> float:
        """Seconds until one of the pops must have ended by itself."""
        lates = [pop.late for pop in self._pops.values() if pop.waits]
        return min(lates, default=1e9) - time.monotonic()

    def taken(self, ready: set[int], until: float) -> list[str]:
        """The keys popped on the readable sockets; what ended with nothing before `until` is sent again."""
        found = []
        for pop in self._pops.values():
            if pop.waits and pop.wire is not None and pop.wire.sock.fileno() in ready:
                key, left = pop.take(), until - time.monotonic()
                if key is not None:
                    found.append(key)
                elif pop.late == 0.0 and left > 0:
                    pop.begin(self._keys[pop], left)
            elif pop.waits and pop.wire is not None and pop.late < time.monotonic():
                raise StoreUnavailable(f"{pop.wire.where} did not end a blocking pop; the connection is dead")
        return found

    def end(self) -> list[str]:
        """End all pops; the keys that some of them took all the same."""
        return [key for pop in self._pops.values() if pop.waits and (key := pop.end()) is not None]

    def values(self) -> list[tuple[str, list[bytes]]]:
        """Keys and values that were popped since this was asked last."""
        found = [value for pop in self._pops.values() for value in pop.values.items()]
        for pop in self._pops.values():
            pop.values = {}
        return found

    def once(self, key: str, seconds: float) -> None:
        """Sleep until something is pushed to `key`, at most `seconds`."""
        wire = self._root.link(key).connect()
        try:
            reply: Any = wire.block(pack(("BLPOP", key, f"{max(seconds, 0.001):.3f}")), seconds)
        finally:
            wire.close()
        if isinstance(reply, Refusal):
            raise refused(reply, wire.where)

    def close(self) -> None:
        for pop in self._pops.values():
            pop.close()
        self._pops.clear()
        self._keys.clear()


def sleep(fds: list[int], seconds: float) -> set[int]:
    """The descriptors that became readable within `seconds`."""
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    return {fd for fd, _ in poll.poll(max(seconds, 0.0) * 1000)}
