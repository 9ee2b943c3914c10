"""The ground of the checks of the extra `flow`: tasks with a ticket, and looks at what is counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, TypeVar, cast

import pytest

from regiment.contracts import Connector, Done, Flowing, Met, Rule, Spot, Standing, Taken, Terms, Ticket
from regiment_testing.contracts.bench import Bench, Consumer, Open, fresh, marked, until

T = TypeVar("T")

QUEUE: Spot = ("", "")
CRM: Spot = ("crm", "")
ACME: Spot = ("crm", "acme")
FAR = 600.0
"""Seconds that no check waits for."""


def able(connector: Connector) -> Flowing:
    """The connector, of which these checks are asked because it has the verbs."""
    return cast(Flowing, connector)


def admit(
    connector: Connector, *payloads: bytes, to: Spot = ACME, queue: str = "q", priority: int = 1, **more: Any
) -> list[Met]:
    """Push with a token of its own; each task is charged to the same spot, and its id is its payload."""
    charged = {name: more.pop(name) for name in ("unique", "until", "clash", "longest") if name in more}
    tickets = [Ticket(*to, id=payload.decode(), **charged) for payload in payloads]
    return list(able(connector).admit(queue, payloads, tickets, priority=priority, **{"token": fresh("token"), **more}))


def rule(connector: Connector, spot: Spot, to: Rule | None, **more: Any) -> None:
    """Set a rule of queue "q"."""
    able(connector).rule("q", spot, to, **more)


def stands(connector: Connector, spot: Spot = ACME, queue: str = "q") -> Standing:
    """How a spot stands."""
    [standing] = able(connector).flow(queue, [spot])
    assert standing.spot == spot
    return standing


def numbers(connector: Connector, *spots: Spot) -> list[tuple[int, int]]:
    """What waits and what runs, of the queue, pool "crm" and its lane "acme" if none are named."""
    found = able(connector).flow("q", spots or (QUEUE, CRM, ACME))
    return [(standing.waiting, standing.running) for standing in found]


def worker(connector: Connector, slots: int = 1000, queue: str = "q", **terms: Any) -> Consumer:
    """A consumer with many slots."""
    return Consumer(connector, queue, terms=Terms(slots=slots, **terms))


def one_by_one(consumer: Consumer, most: int = 1000) -> list[bytes]:
    """Lease and settle one after the other until there is none; the payloads in this order."""
    found: list[bytes] = []
    settle: list[Done] = []
    while len(found) < most:
        taken = consumer.take(1, *settle)
        if not taken:
            return found
        found.append(taken[0].payload)
        settle = [Done(taken[0].receipt, taken[0].receipt)]
    consumer.exchange(*settle, limit=0)
    return found


def lane_of(payload: bytes) -> str:
    """The lane of a task whose payload is "lane number"."""
    return payload.decode().split()[0]


def some(lane: str, number: int, first: int = 0) -> list[bytes]:
    """Payloads of a lane, of which `lane_of` says the lane."""
    return [b"%s %03d" % (lane.encode(), n) for n in range(first, first + number)]


def fill(connector: Connector, number: int, *lanes: str, pool: str = "crm", **more: Any) -> None:
    """Push so many tasks to each of these lanes, one lane after the other."""
    for lane in lanes:
        admit(connector, *some(lane, number), to=(pool, lane), **more)


def asks(consumer: Consumer, wanted: int = 1) -> list[bytes]:
    """Exchange until so many have come; the payloads."""
    found: list[bytes] = []

    def enough() -> bool:
        found.extend(consumer.payloads(wanted - len(found)))
        return len(found) >= wanted

    until(enough)
    return found


def empty(taken: Taken) -> float | None:
    """What an exchange that leased nothing said of the next due time."""
    assert not taken.deliveries, "nothing may be leased here"
    return taken.next_due


def in_order(check: T) -> T:
    """Marks a check that runs only for a store whose `lanes_in_order` is True."""
    return marked(check, "lanes_in_order")


def also(name: str) -> Callable[[T], T]:
    """Marks a check that needs another extra besides."""
    return lambda check: marked(check, name)


class FlowBench(Bench):
    """Base of the themes."""

    lanes_in_order: ClassVar[bool] = True
    """False for a store that says that the order between lanes and pools is its best effort: then checks of turns are
    skipped, and programs compare budgets, counts and keys alone."""

    @pytest.fixture
    def counted(self, open: Open) -> Iterator[Open]:
        """`open`; afterwards what queue "q" has counted must be what is there."""
        yield open
        right(open("push"))


def right(connector: Connector, queue: str = "q") -> None:
    """Fail if the counts of a queue are not what is there."""
    wrong: Sequence[Any] = able(connector).recount(queue)
    assert list(wrong) == [], "what was counted is not what is there: (spot, waiting, running) should be"
