"""Waiting without polling: one daemon thread for each process and store hears of every record that anybody here waits for.

It has a connection of its own (role `follow`). Registering and reading are one step of the store (V1), marks outlive the
connection (V2), and all is followed again every 10 s (40 with 10,000 waits),
after a broken connection, and when marks may have been lost (V3).
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any

from regiment import log
from regiment.broker import Broker
from regiment.contracts import Followed, Record
from regiment.errors import StoreUnavailable
from regiment_results.errors import gone
from regiment_results.records import id_of

AGAIN, RARELY, CROWD = 10.0, 40.0, 250
"""Seconds after which all that is waited for is followed again; with many waits, a second for each `CROWD` of them, up to the
second number: so they cost the same, however many they are.
"""
KEPT_FOR = 90.0
"""Seconds for which a store keeps a registration."""
BULK = 1000
"""Keys of one request."""
IDLE = 60.0
"""Seconds without a waiter after which the thread and its connection end; the next wait starts another."""
PAUSE, LONGEST_PAUSE = 0.05, 1.0
"""Seconds between two tries to reach the store: the first, and at most."""

Answer = Record | BaseException
"""What a waiter is told: the record, or why there will be none."""


class Want:
    """One waiter: it wants the record under `key` with at least `rank`, and is `told` once, in the listener's thread."""

    __slots__ = ("key", "known", "rank", "told")

    def __init__(self, key: Followed, rank: int, told: Callable[[Answer], None], known: bool | None) -> None:
        self.key, self.rank, self.told = key, rank, told
        self.known = known
        """False if no record of any rank at all means that there is nothing to wait for (`ResultGone`): that is looked at at once.
        None: it is not probable, as after a record was seen, and looked at when all is followed again. True: it means nothing,
        because no note was made of the push.
        """


class Listener:
    """The thread of one store, and who waits for what. Safe in any thread."""

    def __init__(self, broker: Broker) -> None:
        self.trouble = ""
        """Why the store cannot be reached at the moment, in words; empty if it can."""
        self.ended = False
        self._broker = broker
        self._lock = threading.Lock()
        self._wants: dict[Followed, Want | list[Want]] = {}
        self._new: list[Want] = []
        self._poke = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="regiment results", daemon=True)
        self._thread.start()

    # Called by those who wait

    def want(self, wants: Iterable[Want]) -> bool:
        """Wait for these; False if the thread has ended meanwhile, and another is needed."""
        with self._lock:
            if self.ended:
                return False
            for one in wants:
                there = self._wants.get(one.key)
                if there is None:
                    self._wants[one.key] = one
                elif isinstance(there, list):
                    there.append(one)
                else:
                    self._wants[one.key] = [there, one]
                self._new.append(one)
            os.eventfd_write(self._poke, 1)
        return True

    def leave(self, want: Want) -> None:
        """Wait no longer. What the store has registered ends by itself."""
        with self._lock:
            self._leave(want)

    def _leave(self, want: Want) -> bool:
        """Whether it was still waiting."""
        there = self._wants.get(want.key)
        if there is want:
            del self._wants[want.key]
            return True
        if not isinstance(there, list) or want not in there:
            return False
        there.remove(want)
        if not there:
            del self._wants[want.key]
        return True

    def stop(self) -> None:
        """End the thread and close its connection, at the end of the program."""
        with self._lock:
            self._stopping = True
            if not self.ended:
                os.eventfd_write(self._poke, 1)
        self._thread.join(2.0)

    def __len__(self) -> int:
        return len(self._wants)

    # The thread

    def _run(self) -> None:
        pause = PAUSE
        while not self._over():
            connector = None
            try:
                connector = self._broker.open("follow")
                self.trouble, pause = "", PAUSE
                self._serve(connector)
            except StoreUnavailable as error:
                self.trouble = str(error)
                log.event(logging.DEBUG, "results.unreachable", error=self.trouble)
                time.sleep(0 if self._stopping else pause)
                pause = min(LONGEST_PAUSE, pause * 2)
            except Exception as error:
                self._fail(error)
            finally:
                if connector is not None:
                    with contextlib.suppress(Exception):
                        connector.close()

    def _over(self, idle: bool = False) -> bool:
        """Whether to end; then nobody can begin to wait here any more."""
        with self._lock:
            if not self.ended and (self._stopping or (idle and not self._wants)):
                self.ended = True
                os.close(self._poke)
            return self.ended

    def _serve(self, connector: Any) -> None:
        """Hear until there is nothing left to wait for. `StoreUnavailable` if the connection breaks."""
        due, quiet = 0.0, time.monotonic()
        while not self._stopping:
            now = time.monotonic()
            with self._lock:
                new, self._new = self._new, []
                wanted = list(self._each()) if now >= due else new
            if now >= due:
                due = now + min(RARELY, max(AGAIN, len(wanted) / CROWD))
            self._follow(connector, wanted)
            self._doubt(connector, wanted, again=wanted is not new)
            if self._wants:
                quiet = now
            elif now - quiet >= IDLE and self._over(idle=True):
                return
            heard = connector.heard(max(0.0, due - time.monotonic()), self._poke)
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._poke)
            if heard is None:
                due = 0.0
            elif heard:
                self._heard(connector, heard)

    def _each(self) -> Iterator[Want]:
        for there in self._wants.values():
            if isinstance(there, list):
                yield from there
            else:
                yield there

    def _heard(self, connector: Any, heard: Mapping[Followed, Record | None]) -> None:
        """Tell those who waited for it. A key that was heard is followed no longer: who still wants it follows again."""
        for key, record in heard.items():
            if record is not None:
                self._found(key, record)
        self._follow_on(connector, heard)

    def _follow_on(self, connector: Any, keys: Iterable[Followed]) -> None:
        """Those who wait for more than what was there."""
        with self._lock:
            left = [one for key in keys for one in self._of(key)]
        if left:
            self._follow(connector, left)

    def _of(self, key: Followed) -> list[Want]:
        there = self._wants.get(key)
        return [] if there is None else list(there) if isinstance(there, list) else [there]

    def _follow(self, connector: Any, wanted: Sequence[Want]) -> None:
        """Register and read in one step, and tell who need not wait."""
        with self._lock:  # a registration replaces the one before it, so it is made for all that wait for this key
            ranks = {one.key: min(other.rank for other in self._of(one.key) or (one,)) for one in wanted}
        keys = iter(ranks)
        while part := {key: ranks[key] for key in islice(keys, BULK)}:
            found = connector.follow(part, KEPT_FOR)
            for key, record in found.items():
                self._found(key, record)
            self._follow_on(connector, found)

    def _doubt(self, connector: Any, wanted: Sequence[Want], *, again: bool) -> None:
        """Look whether anything is known of what is waited for: a record may be forgotten, or be lost with its store."""
        unsure: dict[str, list[str]] = {}
        with self._lock:
            for one in wanted:
                if (one.known is False or (again and one.known is None)) and one.key in self._wants:
                    unsure.setdefault(one.key[0], []).append(one.key[1])
        for queue, names in unsure.items():
            for at in range(0, len(names), BULK):
                self._look(connector, queue, names[at : at + BULK])

    def _look(self, connector: Any, queue: str, keys: list[str]) -> None:
        """Where nothing is kept, also no note of the push, there is nothing to wait for."""
        for key, record in zip(keys, connector.records(queue, keys), strict=True):
            waiting = self._of((queue, key))
            if record is not None:
                for one in waiting:
                    one.known = None if one.known is False else one.known
                self._found((queue, key), record)
                continue
            why = gone(queue, id_of(key))
            for one in waiting:
                if not one.known:
                    self._tell(one, why)

    def _found(self, key: Followed, record: Record) -> None:
        for one in self._of(key):
            if record.rank >= one.rank:
                self._tell(one, record)

    def _tell(self, want: Want, answer: Answer) -> None:
        with self._lock:
            waits = self._leave(want)
        if waits:
            log.tell(want.told, answer)

    def _fail(self, error: Exception) -> None:
        """The store refuses for good: nobody here can wait for anything."""
        log.event(logging.ERROR, "results.error", exc_info=error)
        with self._lock:
            wants, self._wants, self._new = list(self._each()), {}, []
            if not self.ended:
                self.ended = True
                os.close(self._poke)
        for one in wants:
            log.tell(one.told, error)


_lock = threading.Lock()
_listeners: dict[Any, Listener] = {}
_of_parents: list[dict[Any, Listener]] = []
"""Kept in a child of a fork, so that no destructor touches what is the parent's."""


def listen(broker: Broker, wants: list[Want]) -> Listener:
    """Wait for these at the listener of this store, started if there is none in this process."""
    key = _store_of(broker)
    while True:
        with _lock:
            found = _listeners.get(key)
            if found is None or found.ended:
                found = _listeners[key] = Listener(broker)
        if found.want(wants):
            return found


def _store_of(broker: Broker) -> Any:
    """What two brokers of one store have in common: how they make their connectors."""
    make: Any = broker.make
    return (make.func, repr(sorted(make.keywords.items()))) if isinstance(make, partial) else id(make)


def _forget() -> None:
    """In a child of a fork: threads and connections are the parent's."""
    global _lock, _listeners
    _of_parents.append(_listeners)
    _lock, _listeners = threading.Lock(), {}


def _stop_all() -> None:
    for one in list(_listeners.values()):
        one.stop()


os.register_at_fork(after_in_child=_forget)
atexit.register(_stop_all)
