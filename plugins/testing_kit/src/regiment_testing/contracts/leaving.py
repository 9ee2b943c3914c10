"""The ground of the checks of the extra `effects`: steps that leave something behind, and looks at what there is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, cast

from regiment.contracts import Applied, Connector, Effect, Effective, Keep, Record, Send
from regiment_testing.contracts.bench import Consumer, Open, fresh, push

T = TypeVar("T")
Left = Mapping[int, Sequence[Effect]]
"""Effects by receipt."""


def able(connector: Connector) -> Effective:
    """The connector, of which these checks are asked because it has the verbs."""
    return cast(Effective, connector)


def apply(connector: Connector, queue: str, *effects: Effect, **more: Any) -> Applied:
    """Apply with a token of its own."""
    return able(connector).apply(queue, effects, **{"token": fresh("token"), **more})


def keep(key: str = "k", value: bytes = b"v", ttl: float | None = 600.0, **more: Any) -> Keep:
    """A record that is there until the check has ended."""
    return Keep(key, value, ttl, **more)


def send(queue: str, *payloads: bytes, **more: Any) -> Send:
    """A push."""
    return Send(queue, payloads, **more)


def holding(connector: Connector, number: int = 1, queue: str = "q", **more: Any) -> Consumer:
    """A consumer that holds the receipts 1 to `number`."""
    push(connector, queue, *[b"task %d" % n for n in range(1, number + 1)])
    worker = Consumer(connector, queue, **more)
    assert [delivery.receipt for delivery in worker.take(number)] == list(range(1, number + 1))
    return worker


def record(connector: Connector, key: str = "k", queue: str = "q") -> Record | None:
    """The record with this key."""
    [found] = able(connector).records(queue, [key])
    return found


def values(connector: Connector, queue: str, *keys: str) -> list[bytes | None]:
    """The values of the records with these keys."""
    return [None if found is None else found.value for found in able(connector).records(queue, keys)]


def waiting_tasks(connector: Connector, queue: str) -> list[bytes]:
    """The payloads that are ready, in order."""
    return [seen.payload for seen in connector.peek(queue, "ready", 10_000)]


def at_once(*works: Callable[[], T]) -> list[T]:
    """Run each in a thread of its own, all at the same time; their answers in order. The first error is raised here."""
    with ThreadPoolExecutor(len(works)) as pool:
        return [one.result() for one in [pool.submit(work) for work in works]]


def left_nothing(open: Open) -> bool:
    """True if there is neither the record `k` beside "q" nor a task in the queue "child"."""
    look = open("look")
    return record(look) is None and look.counts("child").ready == 0


TRACES = (Keep("k", b"v", 600.0), Send("child", [b"child"]))
"""Effects whose absence `left_nothing` sees."""
