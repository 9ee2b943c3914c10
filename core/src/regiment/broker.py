"""The store side of a program that pushes: a codec, a connector, and the pushing connection of each process."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

from regiment import log
from regiment.codec import Codec
from regiment.config import WorkerConfig
from regiment.contracts import EFFECTS, Connector, Effect, Effective, Flowing, Met, Role, Send, Ticket
from regiment.errors import ConfigError, StoreUnavailable
from regiment.lock import Lock
from regiment.registry import Registry, registry
from regiment.task import Task, new_id

KEPT = "u:"
"""The keys of records that users keep begin with this, those of plugins do not."""
BULK_BYTES = 16 * 1024 * 1024
"""So is a bulk push: a store keeps a whole one in its memory until it is complete."""


class Pushed(NamedTuple):
    """What a push answers: the task's `id`, its `queue`, and whether it `existed`: True if the id was known already and nothing
    was added (an id of your own, pushed twice within `id_window` seconds).
    """

    id: str
    queue: str
    existed: bool = False


class Known(list[int]):
    """Which of a push with tickets were left out, and in `met` what its tickets have met."""

    def __init__(self, met: Sequence[Met]) -> None:
        super().__init__(one.index for one in met if one.did != "replaced")
        self.met = met


class Broker:
    """Pushes to one connector, from any thread and after any fork.

    `make` builds an unopened connector. Connections are opened at first use, belong to one process, and are
    guarded by a lock; a child process starts with fresh ones.
    """

    def __init__(self, make: Callable[[], Connector], codec: Codec, config: WorkerConfig) -> None:
        self.make, self.codec, self.config = make, codec, config
        self.asked: tuple[Any, ...] = ()
        """Plugins that have a say in pushes, and those that put a context around them; empty if there are none."""
        self.observers: list[Callable[[str, Sequence[Task]], None]] = []
        self._mine: tuple[int, threading.RLock, list[Connector]] = (0, threading.RLock(), [])

    @contextmanager
    def connector(self) -> Iterator[Connector]:
        """A pushing connection of this process, for the length of a block."""
        lock, free = self._line()
        with lock:
            connector = free.pop() if free else self.open("push")
            try:
                yield connector
            finally:
                free.append(connector)

    def _line(self) -> tuple[threading.RLock, list[Connector]]:
        """The lock of this process's pushing connection, and where that is kept while nobody uses it.

        Who uses it takes it out: a push inside of a push (by a signal handler, or a `__del__`) finds none and opens one of
        its own, so that there are never two requests on one connection.
        """
        pid, lock, opened = self._mine
        if pid != os.getpid():
            # A child of a fork: what the parent opened is the parent's, and its lock may be held for ever.
            pid, lock, opened = self._mine = (os.getpid(), threading.RLock(), [])
        return lock, opened

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
        effects: Sequence[Effect] = (),
        payloads: list[bytes] | None = None,
        tickets: Sequence[Ticket] | None = None,
    ) -> Sequence[int]:
        """Encode all, then send all; returns the indexes of those whose id existed (asked only with `ids`). `effects` come in
        the same step, or in the last one of a push that is too large for one. `payloads`: the tasks, if they were encoded
        before. With `tickets`, one for each, the answer is a `Known`; with effects as well, what was met is not known.

        A lost or missing answer is met by repeating the same call, under the same token, until `push_timeout`; then
        `StoreUnavailable` tells whether the tasks may have arrived.
        """
        config, payloads = self.config, payloads or list(map(self.codec.encode, tasks))
        way: dict[str, Any] = {"priority": priority, "delay": delay, "at": at}
        if len(tasks) > 1 and sum(map(len, payloads)) > BULK_BYTES:
            return self._in_parts(queue, tasks, payloads, effects, tickets, ids=ids, **way)
        # Fresh for each call: an id of our making is, one of the user's is not.
        token, named = (new_id(), [task.id for task in tasks]) if ids else (tasks[0].id, None)
        way |= {"token": token, "ids": named, "id_window": config.id_window, "token_window": config.token_window}
        deadline, pause, maybe = time.monotonic() + config.push_timeout, 0.02, False
        while True:
            try:
                lock, free = self._line()
                with lock:
                    connector = free.pop() if free else self.open("push")
                    try:
                        if effects:
                            send = Send(queue, payloads, priority, delay, at, named, config.id_window, tickets)
                            existed = _applied(connector, send, effects, token, config.token_window)
                        elif tickets is not None:
                            existed = Known(cast("Flowing", connector).admit(queue, payloads, tickets, **way))
                        else:
                            existed = connector.push(queue, payloads, **way)
                    finally:
                        free.append(connector)
                break
            except StoreUnavailable as error:
                maybe = maybe or error.maybe_pushed
                if time.monotonic() + pause > deadline:
                    raise StoreUnavailable(str(error), id=tasks[0].id, maybe_pushed=maybe) from error
                time.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(0.5, pause * 2)
        for observer in self.observers:
            log.tell(observer, queue, tasks)
        return existed

    def _in_parts(self, queue: str, tasks: Any, payloads: Any, effects: Any, tickets: Any, **how: Any) -> Sequence[int]:
        known: list[int] = []
        for a, b in _parts(payloads):
            how |= {"effects": effects if b == len(payloads) else (), "tickets": tickets and tickets[a:b]}
            known += [a + index for index in self.push(queue, tasks[a:b], payloads=payloads[a:b], **how)]
        return known

    def sending(self, queue: str, tasks: Sequence[Task], *, ids: bool, **how: Any) -> Send:
        """A push as an effect; what is said of its way as for `push`."""
        named = [task.id for task in tasks] if ids else None
        return Send(queue, list(map(self.codec.encode, tasks)), **how, ids=named, id_window=self.config.id_window)

    def kept(self, queue: str, key: str) -> Any:
        """What tasks of a queue have kept under a key (`current().commit.keep`), or None."""
        where = queue, KEPT + key
        with self.connector() as connector:
            found = effective(connector, "kept(…) needs").records(queue, where[1:])[0]
        return None if found is None else self.codec.unpack(found.value, where)

    def pushed(
        self, task: Task, existed: Sequence[int], answer: Callable[[str, str, bool], Pushed] | None = None
    ) -> Pushed:
        """The answer of a push of one task."""
        return (answer or Pushed)(task.id, task.queue, bool(existed))

    def lock(self, name: str) -> Lock:
        """A lock of this store."""
        return Lock(name, self.open)


def extras(connector: Connector) -> frozenset[str]:
    """The extras of the contract that this connector keeps, with its options."""
    asked: Callable[[], frozenset[str]] | None = getattr(connector, "extras", None)
    return connector.capabilities.extras if asked is None else asked()


def refuse_without(extra: str, wanted: str, connector: Connector, reg: Registry) -> None:
    """`ConfigError` if this connector does not keep an extra of the contract, naming the stores that do."""
    if extra in extras(connector):
        return
    there = ", ".join(reg.keepers(extra)) or "none that is installed"
    raise ConfigError(
        f'{connector.describe()} ({type(connector).__name__}) does not keep "{extra}", which {wanted}. Stores that keep it: {there}'
    )


def effective(connector: Connector, wanted: str) -> Effective:
    """The connector as one that keeps effects; `ConfigError` if it does not."""
    refuse_without(EFFECTS, wanted, connector, registry())
    return cast("Effective", connector)


def _applied(
    connector: Connector, send: Send, effects: Sequence[Effect], token: str, token_window: float
) -> Sequence[int]:
    """The push and the effects in one step; which of the push were left out."""
    able = effective(connector, "what a plugin adds to this push needs")
    answer = able.apply(send.queue, (send, *effects), token=token, token_window=token_window)
    return [index for index in answer.left_out if index < len(send.payloads)]


def _parts(payloads: Sequence[bytes]) -> Iterator[tuple[int, int]]:
    """Where to cut, so that no part has more than `BULK_BYTES`, but for a payload that has more by itself."""
    first = size = 0
    for index, payload in enumerate(payloads):
        if index > first and size + len(payload) > BULK_BYTES:
            yield first, index
            first, size = index, 0
        size += len(payload)
    yield first, len(payloads)
