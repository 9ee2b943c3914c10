"""Waiting without polling: one tailable cursor on a small capped collection, read by one thread.

A hint only: a wake-up that is lost costs the caller's `seconds` at most, and after a broken cursor everybody is woken.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Sequence
from typing import Any

import pymongo
from pymongo import CursorType, WriteConcern
from pymongo.errors import PyMongoError

from regiment_mongo import layout
from regiment_mongo.base import Base

AWAIT_MS = 1_500
"""How long the server holds one request of an idle listener."""

PATIENCE = 3.0
"""Seconds without any answer after which a listener's connection is taken for dead. The driver notices later."""


class Listener(threading.Thread):
    """Counts the wake-ups of each topic, and pokes an event descriptor."""

    def __init__(self, wakes: Any, prefix: str) -> None:
        super().__init__(name="regiment-mongo-wake", daemon=True)
        self._wakes, self._prefix = wakes, prefix
        self._cursor: Any = None
        self.ended = False
        self.ready = threading.Event()
        self.event_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._lock = threading.Lock()
        self.heard = time.monotonic()
        """When the server last said anything, if only that nothing happened."""
        self._rounds = 0
        self._counts: dict[str, int] = {}

    @property
    def rounds(self) -> int:
        """How often it has begun to listen; in between it may have missed something."""
        return self._rounds

    @property
    def deaf(self) -> bool:
        """Whether the server has been silent for so long that the connection must be dead."""
        return time.monotonic() - self.heard > PATIENCE

    def count(self, topic: str) -> int:
        """Changes whenever somebody was woken for `topic`, or may have been."""
        return self._rounds + self._counts.get(topic, 0)

    def run(self) -> None:
        pause = 0.05
        while not self.ended:
            try:
                self._listen()
                pause = 0.05
            except PyMongoError:
                pause = min(pause * 2, 1.0)
            except Exception:
                # The client is closed under the cursor when its connector is closed.
                if not self.ended:
                    raise
            self.heard = time.monotonic()
            if not self.ended:
                time.sleep(pause)
        with self._lock:
            os.close(self.event_fd)
            self.event_fd = -1

    def _listen(self) -> None:
        layout.cap(self._wakes.database, self._prefix)
        last = self._wakes.find_one({}, {"_id": 1}, sort=[("$natural", -1)])
        if last is None:
            # A tailable cursor on an empty collection is dead from the start.
            self._wakes.insert_one({"k": "layout"})
            return
        behind = True
        cursor = self._wakes.find({}, cursor_type=CursorType.TAILABLE_AWAIT)
        cursor.max_await_time_ms(AWAIT_MS)
        with cursor:
            self._cursor = cursor
            while not self.ended and cursor.alive:
                document = cursor.next() if behind else next(cursor, None)
                self.heard = time.monotonic()
                if behind:
                    behind = document is not None and document["_id"] != last["_id"]
                    if not behind:
                        # What came before this cursor stood may have been missed.
                        self._rounds += 1
                        self._poke()
                        self.ready.set()
                elif document is not None and document["k"] != "end":
                    topic = f"{document['k']}:{document.get('q', '')}"
                    self._counts[topic] = self._counts.get(topic, 0) + 1
                    self._poke()

    def _poke(self) -> None:
        with self._lock:
            if self.event_fd >= 0:
                os.eventfd_write(self.event_fd, 1)

    def stop(self) -> None:
        """Have the thread end. `killCursors` does not end a read that the server holds (tried on 6.0: it answers when
        its time is over), an insertion does; the hint is for nobody.
        """
        self.ended = True
        try:
            with pymongo.timeout(0.5):
                self._wakes.with_options(write_concern=WriteConcern(w=0)).insert_one({"k": "end"})
        except (PyMongoError, OSError):
            pass
        self._poke()


class Waits(Base):
    """Who waits here, and since when."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._listener: Listener | None = None
        self._seen: dict[str, int] = {}

    def listener(self) -> Listener:
        """The listener of this connector, started at first use; given a moment to stand."""
        found = self._listener
        if found is not None and found.deaf:
            # Its thread ends when the driver gives the connection up; meanwhile another listens.
            found.ended = True
            self._seen = dict.fromkeys(self._seen, -1)
            found = None
        if found is None or not found.is_alive():
            self.client  # noqa: B018  (refuses a closed or inherited one)
            found = self._listener = Listener(self._wakes, self._prefix)
            found.start()
            found.ready.wait(1.0)
        return found

    def watch(self, queue: str) -> None:
        """Begin to listen for this queue; what is pushed from now on ends the next wait."""
        self._seen[queue] = self.listener().count(f"q:{queue}")

    def woken(self, queue: str) -> bool:
        """Whether something happened since `watch`."""
        seen = self._seen.get(queue)
        return seen is not None and self.listener().count(f"q:{queue}") != seen

    def _drop(self) -> None:
        if self._lapsed and self._listener is not None:
            # Nobody answers it any more; its thread ends when it notices.
            self._listener.ended, self._listener = True, None
            self._seen = dict.fromkeys(self._seen, -1)
        super()._drop()

    def close(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None and self._pid == os.getpid():
            listener.stop()
            listener.join(1.0)
        super().close()


def sleep(descriptors: Sequence[int], seconds: float, wake_fd: int | None) -> bool:
    """Sleep until a descriptor is readable; the event descriptors are read. Whether it was `wake_fd`."""
    poll = select.poll()
    for descriptor in descriptors:
        if descriptor >= 0:
            poll.register(descriptor, select.POLLIN)
    if wake_fd is not None:
        poll.register(wake_fd, select.POLLIN)
    events = poll.poll(max(0, int(seconds * 1000 + 0.999)))
    for descriptor, _ in events:
        if descriptor in descriptors:
            try:
                os.eventfd_read(descriptor)
            except BlockingIOError:
                pass
    return any(descriptor == wake_fd for descriptor, _ in events)
