"""The ground of a connector's checks: connectors that are closed afterwards, a consumer that counts its turns as a
worker does, and children that answer.
"""

from __future__ import annotations

import os
import pickle
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any, ClassVar, TypeVar

import pytest

from regiment.contracts import Capabilities, Connector, Delivery, Effect, Role, Settlement, Taken, Terms
from regiment_runner.shared.polling import readable
from regiment_testing.contracts.examination import Examination

T = TypeVar("T")
Open = Callable[[Role], Connector]

MIB = 1 << 20

LEASE = 0.6
"""Seconds of a lease that a check lets lapse."""

PATIENCE = 30.0
"""Seconds after which a check gives up."""

_numbers = count()


def fresh(prefix: str = "c") -> str:
    """A name that no other check uses."""
    return f"{prefix}-{os.getpid()}-{next(_numbers)}"


def push(connector: Connector, queue: str, *payloads: bytes, priority: int = 1, **more: Any) -> Sequence[int]:
    """Push with a token of its own."""
    return connector.push(queue, payloads, priority=priority, **{"token": fresh("token"), **more})


class Consumer:
    """A consumer as a worker drives it: turns and receipts go up, a repeat sends the same request."""

    def __init__(
        self,
        connector: Connector,
        queue: str = "q",
        name: str | None = None,
        terms: Terms | None = None,
    ) -> None:
        self.connector, self.queue, self.name = connector, queue, name or fresh()
        self.turn, self.next = 0, 1
        self._last: tuple[Any, ...] = ()
        self._more: dict[str, Any] = {}
        connector.join(queue, self.name, terms or Terms())

    def exchange(
        self,
        *settlements: Settlement,
        limit: int = 1,
        max_bytes: int = 8 * MIB,
        holds_nothing: bool = False,
        effects: Mapping[int, Sequence[Effect]] | None = None,
    ) -> Taken:
        """The next turn; a connector without the extra is not told about effects."""
        self.turn += 1
        self._more = {} if effects is None else {"effects": effects}
        self._last = (self.turn, self.next, settlements, limit, max_bytes, holds_nothing)
        taken = self.repeat()
        self.next += len(taken.deliveries)
        return taken

    def repeat(self, connector: Connector | None = None) -> Taken:
        """The last request again, as after a lost reply; by another connection if one is given."""
        return (connector or self.connector).exchange(self.queue, self.name, *self._last, **self._more)

    def take(self, limit: int = 1, *settlements: Settlement) -> list[Delivery]:
        """The deliveries that an exchange leases."""
        return list(self.exchange(*settlements, limit=limit).deliveries)

    def payloads(self, limit: int = 100) -> list[bytes]:
        """The payloads that an exchange leases."""
        return [delivery.payload for delivery in self.take(limit)]

    def release(self, *args: Any, **more: Any) -> None:
        """Send what a keeper sends for this consumer."""
        self.connector.release(self.queue, self.name, *args, **more)

    def wait(self, seconds: float = PATIENCE, wake_fd: int | None = None) -> tuple[list[str], float]:
        """The queues that a wait names, and the seconds that it took."""
        start = time.monotonic()
        queues = self.connector.wait([(self.queue, self.name)], seconds, wake_fd)
        return list(queues), time.monotonic() - start


def until(look: Callable[[], T], pause: float = 0.02) -> T:
    """Look again until the answer is true; fails after PATIENCE."""
    end = time.monotonic() + PATIENCE
    while True:
        answer = look()
        if answer:
            return answer
        assert time.monotonic() < end, f"nothing came of it in {PATIENCE:g} s"
        time.sleep(pause)


def take_over(watcher: Consumer, limit: int = 100) -> list[Delivery]:
    """Exchange again and again, much more often than a third of LEASE, until there is something: the overdue
    deliveries.
    """
    return until(lambda: watcher.take(limit))


class Child:
    """A forked process that runs `work` and answers with what it returned."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._answers, end = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                os.close(self._answers)
                try:
                    answer = (True, work())
                except BaseException as error:
                    answer = (False, f"{type(error).__name__}: {error}")
                with os.fdopen(end, "wb") as pipe:
                    pipe.write(pickle.dumps(answer))
                status = 0
            finally:
                os._exit(status)
        os.close(end)

    def kill(self) -> None:
        """End it as a crash would, and wait for its end."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._answers)

    def answer(self) -> Any:
        """The result of `work`; fails if it raised or did not end."""
        data, end = b"", time.monotonic() + 2 * PATIENCE
        while True:
            if not readable(self._answers, end - time.monotonic()):
                self.kill()
                raise AssertionError(f"the child did not end within {2 * PATIENCE:g} s")
            part = os.read(self._answers, 1 << 16)
            if not part:
                break
            data += part
        os.close(self._answers)
        os.waitpid(self.pid, 0)
        good, answer = pickle.loads(data) if data else (False, "the child died")
        assert good, answer
        return answer


def together(works: Sequence[Callable[[], Any]]) -> list[Any]:
    """Run each in a child of its own, all at the same time; returns their answers in order."""
    children = [Child(work) for work in works]
    return [child.answer() for child in children]


def shared(check: T) -> T:
    """Marks a check that runs only for a connector whose `capabilities.shared` is True."""
    return _asking(check, "shared")


def durable(check: T) -> T:
    """Marks a check that runs only for a connector whose `capabilities.durable` is True."""
    return _asking(check, "durable")


def bounded(check: T) -> T:
    """Marks a check that runs only for a connector that names a `capabilities.max_payload`."""
    return _asking(check, "max_payload")


def extra(name: str) -> Callable[[T], T]:
    """Marks all checks of a theme: they run only for a connector that has this extra in `capabilities.extras`."""

    def mark(theme: T) -> T:
        for check_name, check in vars(theme).items():
            if check_name.startswith("test_"):
                _asking(check, name)
        return theme

    return mark


def marked(check: T, capability: str) -> T:
    """Marks a check that runs only for a connector with this capability or extra, or whose examination says so of itself."""
    return _asking(check, capability)


def _asking(check: T, capability: str) -> T:
    asked: frozenset[str] = check.__dict__.get("_asks_for", frozenset())
    check.__dict__["_asks_for"] = asked | {capability}
    return check


class Bench(Examination):
    """Base of the themes. A subclass of the whole contract declares `capabilities` and gives the fixture `connect`."""

    capabilities: ClassVar[Capabilities] = Capabilities()

    @classmethod
    def _asks(cls, check: Callable[..., Any]) -> bool:
        able = cls.capabilities
        wanted: frozenset[str] = getattr(check, "_asks_for", frozenset())
        for one in wanted:
            says = cls if hasattr(cls, one) else able if hasattr(able, one) else None
            if not (one in able.extras if says is None else getattr(says, one)):
                return False
        return True

    @pytest.fixture
    def connect(self) -> Open:
        """A function that gives a new connector, opened in the role asked for, on one and the same empty store; it
        is called in this process and in forked ones.
        """
        raise NotImplementedError("give the fixture `connect`: a function role -> opened connector")

    @pytest.fixture
    def open(self, connect: Open) -> Iterator[Open]:
        """`connect`, which closes after the check every connector that it opened."""
        opened: list[Connector] = []

        def opener(role: Role) -> Connector:
            opened.append(connect(role))
            return opened[-1]

        yield opener
        for connector in opened:
            connector.close()
