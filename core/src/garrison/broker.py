"""The store side: pushing through a codec and a connector, a consumer's hold on its queue, and locks."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Self

from garrison import log
from garrison.codec import Codec
from garrison.config import WorkerConfig
from garrison.contracts import Connector, Role, Settlement, Taken, Terms
from garrison.errors import LockLost, StoreUnavailable
from garrison.task import Task, new_id

MAX_BATCH_BYTES = 8 * 1024 * 1024
"""Batches are cut at this many bytes of payload."""


class Pushed(NamedTuple):
    """What a push answers; `existed` if the id was known already and nothing was added."""

    id: str
    queue: str
    existed: bool = False


class Broker:
    """Pushes to one connector, from any thread and after any fork.

    `make` builds an unopened connector. Connections are opened at first use, belong to one process, and are
    guarded by a lock; a child process starts with fresh ones.
    """

    def __init__(self, make: Callable[[], Connector], codec: Codec, config: WorkerConfig) -> None:
        self.make, self.codec, self.config = make, codec, config
        self.headers: list[Callable[..., dict[str, str]]] = []
        self.observers: list[Callable[[str, Sequence[Task]], None]] = []
        self._mine: tuple[int, threading.RLock, list[Connector]] = (0, threading.RLock(), [])

    @contextmanager
    def connector(self) -> Iterator[Connector]:
        """The pushing connection of this process, for the length of a block."""
        lock, opened = self._line()
        with lock:
            yield opened[0] if opened else self._open_line(opened)

    def _line(self) -> tuple[threading.RLock, list[Connector]]:
        """The lock of this process's pushing connection, and where that is kept."""
        pid, lock, opened = self._mine
        if pid != os.getpid():
            # A child of a fork: what the parent opened is the parent's, and its lock may be held for ever.
            pid, lock, opened = self._mine = (os.getpid(), threading.RLock(), [])
        return lock, opened

    def _open_line(self, opened: list[Connector]) -> Connector:
        made = self.open("push")
        opened.append(made)
        return made

    def close(self) -> None:
        """Close what this process opened."""
        pid, lock, opened = self._mine
        if pid == os.getpid():
            with lock:
                while opened:
                    opened.pop().close()

    def open(self, role: Role) -> Connector:
        """A connector of its own, opened; the caller closes it."""
        made = self.make()
        made.open(role)
        return made

    def push(
        self,
        queue: str,
        tasks: Sequence[Task],
        *,
        priority: int = 1,
        delay: float = 0.0,
        at: float | None = None,
        ids: bool = False,
    ) -> Sequence[int]:
        """Encode all, then send all; returns the indexes of those whose id existed (asked only with `ids`).

        A lost or missing answer is met by repeating the same call, under the same token, until `push_timeout`; then
        `StoreUnavailable` tells whether the tasks may have arrived.
        """
        encode = self.codec.encode
        payloads = [encode(task) for task in tasks]
        # Fresh for each call: an id of our making is, one of the user's is not.
        token, config = new_id() if ids else tasks[0].id, self.config
        deadline, pause, maybe = time.monotonic() + config.push_timeout, 0.02, False
        while True:
            try:
                lock, opened = self._line()
                with lock:
                    connector = opened[0] if opened else self._open_line(opened)
                    existed = connector.push(
                        queue,
                        payloads,
                        priority=priority,
                        delay=delay,
                        at=at,
                        token=token,
                        ids=[task.id for task in tasks] if ids else None,
                        id_window=config.id_window,
                        token_window=config.token_window,
                    )
                break
            except StoreUnavailable as error:
                maybe = maybe or error.maybe_pushed
                if time.monotonic() + pause > deadline:
                    raise StoreUnavailable(
                        str(error), id=tasks[0].id, maybe_pushed=maybe
                    ) from error
                time.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(0.5, pause * 2)
        for observer in self.observers:
            log.tell(observer, queue, tasks)
        return existed

    def push_one(self, queue: str, task: Task, **how: Any) -> Pushed:
        """`push` for one task."""
        return Pushed(task.id, queue, bool(self.push(queue, (task,), **how)))

    def lock(self, name: str) -> Lock:
        """A lock of this store."""
        return Lock(name, self)


class Lease:
    """One consumer's hold on one queue: identity, turn, and the numbers it gives to its deliveries.

    Numbers go on across identities and never restart (R1). A request whose answer was lost is repeated by calling
    `exchange` with the same turn: `repeat=True`.
    """

    def __init__(self, connector: Connector, queue: str, terms: Terms, first: int = 1) -> None:
        self.connector, self.queue, self.terms = connector, queue, terms
        self.next = first
        self.turn = 0
        self.consumer = new_consumer()

    def renew_identity(self) -> None:
        """A new consumer, whose numbers follow those of the last; it has yet to join."""
        self.consumer, self.turn = new_consumer(), 0

    def join(self) -> bool:
        """Make the consumer known to the store; True, or `Fenced`."""
        self.connector.join(self.queue, self.consumer, self.terms)
        return True

    def exchange(self, settlements: Sequence[Settlement], limit: int, holds_nothing: bool) -> Taken:
        """Settle and lease under the present turn."""
        return self.connector.exchange(
            self.queue,
            self.consumer,
            self.turn,
            self.next,
            settlements,
            limit,
            MAX_BATCH_BYTES,
            holds_nothing,
        )

    def renew(self) -> bool:
        """Extend the lease from here; False if the consumer is not known any more."""
        return not self.connector.renew([(self.queue, self.consumer)], self.terms.lease)


def new_consumer() -> str:
    """An identity that is never used again."""
    return f"{os.uname().nodename[:20]}.{os.getpid()}.{os.urandom(8).hex()}"


class Lock:
    """A lock that all users of one store share. It has an owner (this object) and a time to live.

    `with broker.lock("name"):` holds it; `LockLost` at the end of the block if it was lost meanwhile.
    """

    def __init__(self, name: str, broker: Broker) -> None:
        self.name, self.ttl = name, 60.0
        self._broker, self._owner = broker, os.urandom(16).hex()
        self._connector: Connector | None = None
        self._pid = 0

    def _store(self) -> Connector:
        if self._connector is None or self._pid != os.getpid():
            self._connector, self._pid = self._broker.open("push"), os.getpid()
        return self._connector

    def acquire(
        self, timeout: float | None = None, check_interval: float = 1.0, ttl: float = 60.0
    ) -> bool:
        """Wait up to `timeout` seconds (None: for ever) for the lock; it is free again after `ttl` seconds.

        `check_interval` bounds a single wait in stores that cannot wake.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        self.ttl = ttl
        while not self._store().lock_take(self.name, self._owner, ttl):
            wait = check_interval
            if deadline is not None:
                wait = min(wait, deadline - time.monotonic())
                if wait <= 0:
                    return False
            self._store().lock_wait(self.name, wait)
        return True

    def release(self) -> bool:
        """Free the lock; False if this owner does not have it (any more): then nothing was changed."""
        return self._store().lock_free(self.name, self._owner)

    def is_locked(self) -> bool:
        """Whether anyone has it."""
        return self._store().lock_look(self.name) is not None

    @property
    def held(self) -> bool:
        """Whether this owner has it now."""
        seen = self._store().lock_look(self.name)
        return seen is not None and seen[0] == self._owner

    def set_ttl(self, ttl: float) -> bool:
        """Extend to `ttl` seconds from now; False if this owner does not have it."""
        return self.held and self._store().lock_take(self.name, self._owner, ttl)

    def get_ttl(self) -> float | None:
        """Seconds until it is free by itself; None if nobody has it."""
        seen = self._store().lock_look(self.name)
        return None if seen is None else seen[1]

    def close(self) -> None:
        """Close the connection of this lock; the lock itself stays as it is."""
        if self._connector is not None and self._pid == os.getpid():
            self._connector.close()
        self._connector = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        released = self.release()
        self.close()
        if not released and kind is None:
            raise LockLost(
                f"the lock {self.name!r} was lost before its block ended; its ttl was {self.ttl} s"
            )
