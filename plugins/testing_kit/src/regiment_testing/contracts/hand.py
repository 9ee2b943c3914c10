"""The ground of the checks of the extra `steer`: looks through a whole queue, and a hand on what waits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, cast

from regiment.contracts import Connector, Seen, Steered
from regiment_testing.contracts.bench import Consumer

State = Literal["ready", "delayed", "leased"]

STATES: tuple[State, ...] = ("ready", "delayed", "leased")
WAITING: tuple[State, ...] = ("ready", "delayed")

MOST_LOOKS = 10_000
"""So many looks are more than any walk of these checks needs."""


def able(connector: Connector) -> Steered:
    """The connector, of which these checks are asked because it has the verbs."""
    return cast(Steered, connector)


def walk(
    connector: Connector,
    state: State = "ready",
    limit: int = 100,
    *,
    queue: str = "q",
    holding: bytes = b"",
    between: Callable[[], object] = lambda: None,
) -> list[Seen]:
    """All tasks that looks find, one behind the other; `between` is called between two of them."""
    seen: list[Seen] = []
    after: str | None = None
    for _ in range(MOST_LOOKS):
        glance = able(connector).look(queue, state, limit, after=after, holding=holding)
        assert len(glance.tasks) <= limit
        seen += glance.tasks
        if glance.after is None:
            return seen
        after = glance.after
        between()
    raise AssertionError(f"{MOST_LOOKS} looks found {len(seen)} tasks, and no end")


def payloads(connector: Connector, state: State = "ready", **more: Any) -> list[bytes]:
    """The payloads that a walk finds."""
    return [task.payload for task in walk(connector, state, **more)]


def places(connector: Connector, *wanted: bytes, state: State = "ready", queue: str = "q") -> list[str]:
    """The places of the tasks with these payloads."""
    found = {task.payload: task.place for task in walk(connector, state, queue=queue)}
    return [found[payload] for payload in wanted]


def steer(connector: Connector, *wanted: bytes, state: State = "ready", **what: Any) -> None:
    """Steer these tasks one by one, in this order; fails if one of them is not where it is said to be."""
    for payload in wanted:
        [place] = places(connector, payload, state=state)
        assert list(able(connector).steer("q", [place], **what)) == [place]


def drained(worker: Consumer, most: int = 10_000) -> list[bytes]:
    """Lease until nothing is ready; the payloads in the order in which they came."""
    found: list[bytes] = []
    while taken := worker.payloads(most):
        found += taken
    return found


def numbered(first: int, end: int, word: str = "task") -> list[bytes]:
    """Payloads of which none is a part of another one."""
    return [f"<{word} {n:05}>".encode() for n in range(first, end)]


def once(found: Iterable[bytes], wanted: Sequence[bytes]) -> bool:
    """True if each of the wanted ones was found exactly once, whatever else was found."""
    known = set(wanted)
    return sorted(payload for payload in found if payload in known) == sorted(wanted)
