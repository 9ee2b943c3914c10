"""Waiting for records: a process follows keys, whoever keeps one leaves a mark in its inboxes, and it pops from these.

An inbox is a list beside each queue that is followed (`S:inbox:P`), so the mark is in the step that keeps the record, and
outlives a connection (V2). The pops are those of `waiting`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple
from uuid import uuid4

from regiment.contracts.effects import Followed, Record
from regiment.errors import StoreUnavailable
from regiment_redis.effective import record
from regiment_redis.link import Link
from regiment_redis.records import name
from regiment_redis.waiting import Watch, sleep

MARKS = 1000
"""Marks that are taken at once."""
AWAY = 1.0
"""Seconds for which a node that could not be reached is left alone."""
KEPT = 60.0
"""Seconds for which an inbox is kept after its last mark."""


class _Inbox(NamedTuple):
    queue: str
    until: float


class Ear:
    """The inboxes of one connector on each of its nodes."""

    def __init__(self, roots: Sequence[Link], stem: Callable[[str], str]) -> None:
        self.name = uuid4().hex
        self._roots, self._stem = list(roots), stem
        self._watches = [Watch(root, MARKS) for root in roots]
        self._inboxes: dict[str, _Inbox] = {}
        self._away = [0.0] * len(self._roots)
        """Until when a node that could not be reached is left alone."""
        self.doubt = False
        """True if marks may have been lost, and nobody was told yet."""

    def follows(self, keys: Mapping[Followed, int], seconds: float) -> None:
        """Keys of these queues are followed for so long."""
        now = time.monotonic()
        for queue in {queue for queue, _ in keys}:
            key = f"{self._stem(queue)}:inbox:{self.name}"
            until = max(now + seconds + KEPT, self._inboxes.get(key, (queue, 0.0))[1])
            self._inboxes[key] = _Inbox(queue, until)
        for key in [key for key, inbox in self._inboxes.items() if inbox.until < now]:
            del self._inboxes[key]

    def heard(self, seconds: float, wake_fd: int | None) -> dict[Followed, Record | None] | None:
        if self._doubted():
            return None
        more = [] if wake_fd is None else [wake_fd]
        if not self._inboxes:
            sleep(more, seconds)
            return {}
        self._begin(seconds)
        try:
            popped = self._wait(time.monotonic() + seconds, more)
            found: dict[Followed, Record | None] = {}
            for key, marks in popped:
                if not self._read(found, key, marks):
                    return None
            return None if self._doubted() else found
        except StoreUnavailable:
            # What was popped and did not arrive is lost.
            self.close()
            return None
        except BaseException:
            self.close()
            self.doubt = True
            raise

    def _doubted(self) -> bool:
        doubt, self.doubt = self.doubt, False
        return doubt

    def _begin(self, seconds: float) -> None:
        """Send the pops to those nodes that can be reached; raises if none can."""
        problem: StoreUnavailable | None = None
        for node, watch in enumerate(self._watches):
            if self._away[node] > time.monotonic():
                continue
            try:
                watch.begin(list(self._inboxes), seconds)
                self.doubt = self.doubt or self._away[node] > 0.0
                self._away[node] = 0.0
            except StoreUnavailable as error:
                watch.close()
                self._away[node], problem = time.monotonic() + AWAY, error
            except BaseException:
                self.close()
                self.doubt = True
                raise
        if not self._open():
            self.doubt = True
            raise problem or StoreUnavailable("none of the nodes could be reached a moment ago")

    def _open(self) -> list[int]:
        return [fd for watch in self._watches for fd in watch.descriptors()]

    def _wait(self, until: float, more: list[int]) -> list[tuple[str, list[bytes]]]:
        """Sleep; what was popped: inboxes and their marks."""
        if any(self._away):
            until = min(until, time.monotonic() + AWAY)
        while not self.doubt and (left := until - time.monotonic()) > 0:
            fds = self._open()
            ready = sleep([*fds, *more], min([left, *(watch.late() for watch in self._watches)]))
            found = [key for watch in self._watches for key in watch.taken(ready, until)]
            if found or not ready.isdisjoint(more) or not fds:
                break
        for watch in self._watches:
            watch.end()
        return [value for watch in self._watches for value in watch.values()]

    def _read(self, found: dict[Followed, Record | None], key: str, marks: Sequence[bytes]) -> bool:
        """Put down what the marks say; False if they say that some are lost."""
        inbox = self._inboxes.get(key)
        for mark in marks:
            if not mark:
                return False
            end = 4 + int.from_bytes(mark[:4])
            if inbox is not None:
                followed, there = (inbox.queue, name(mark[4:end])), record(mark[end:])
                known = found.get(followed)
                if there is None or known is None or (there.rank, there.version) >= (known.rank, known.version):
                    found[followed] = there
        return True

    def close(self) -> None:
        for watch in self._watches:
            watch.close()
