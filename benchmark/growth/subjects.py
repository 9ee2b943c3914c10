"""What grows: for each subject its figures, named "what|size|figure"."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial

from benchmark.growth.crowd import Crowd
from benchmark.growth.meter import BATCH, BULK, DAY, PART, PAYLOAD, PRIORITY, SLICES, Consumer, Figures, Meter
from benchmark.growth.sizes import CONSUMERS, QUEUES, TASKS, steps
from regiment.contracts import Dead
from regiment.contracts.flow import FLOW, Ticket
from regiment.task import new_ids

Row = tuple[str, int, Figures]
REASON = b'{"kind": "error", "text": "ValueError: %b"}' % (b"r" * 40)
WEIGHED = 6_000_000
"""Pushes to which the bytes of tokens are extrapolated: a minute of 100,000 a second."""
EARLY, SOONER = 79_000.0, 300.0
"""Seconds after which the first of the earliest delayed pushes is due, and by which each is due before the last: the looks between take time."""


def waiting(meter: Meter) -> Iterator[Row]:
    """Tasks that wait."""
    queue, have = "waiting", 0
    one = Consumer(meter, queue)
    for size in steps(TASKS, meter.sizes.tasks):
        had, before = have, meter.bytes()
        have = meter.fill(have, size, lambda some: meter.push(queue, some))
        if have - had >= BULK:
            yield "a task", have, {"bytes": (meter.bytes() - before) / (have - had)}
        yield "exchange of 1", have, meter.timed(lambda: one.work(PART, 1), lambda: meter.push(queue, PART))
        yield (
            f"exchange of {BATCH}, a task",
            have,
            meter.timed(lambda: one.work(BULK, BATCH), lambda: meter.push(queue, BULK)),
        )
        yield "push", have, meter.timed(lambda: meter.pushes(queue, PART))
        one.work(PART * SLICES, BATCH)


def delayed(meter: Meter) -> Iterator[Row]:
    """Tasks that are due tomorrow."""
    queue, have = "delayed", 0
    one = Consumer(meter, queue)
    for size in steps(TASKS, meter.sizes.tasks):
        had, before = have, meter.bytes()
        have = meter.fill(have, size, lambda some: meter.push(queue, some, DAY))
        if have - had >= BULK:
            yield "a delayed task", have, {"bytes": (meter.bytes() - before) / (have - had)}
        yield "delayed push", have, meter.timed(lambda: meter.pushes(queue, PART, 2 * DAY))
        yield "exchange of 1 beside them", have, meter.timed(lambda: one.work(PART, 1), lambda: meter.push(queue, PART))


def dead(meter: Meter) -> Iterator[Row]:
    """Dead letters, below the limit of the queue."""
    queue, have = "dead", 0
    one, other = Consumer(meter, queue), Consumer(meter, queue)
    ids = new_ids(10**9)

    def die(count: int) -> int:
        taken = one.exchange(count)
        one.end(Dead(each.receipt, next(ids), REASON) for each in taken.deliveries)
        one.exchange(0)
        return len(taken.deliveries)

    def more(count: int) -> int:
        meter.push(queue, count)
        return die(count)

    for size in steps(TASKS, meter.sizes.tasks):
        had, before = have, meter.bytes()
        have = meter.fill(have, size, more)
        if have - had >= BULK:
            yield "a dead letter", have, {"bytes": (meter.bytes() - before) / (have - had)}
        yield f"death, {BATCH} a request", have, meter.timed(lambda: die(BATCH), lambda: meter.push(queue, BATCH))
        yield (
            "exchange of 1 beside them",
            have,
            meter.timed(lambda: other.work(PART, 1), lambda: meter.push(queue, PART)),
        )
        yield "a page of 100 of them", have, meter.timed(lambda: len(meter.store.dead(queue, 100)) and 1)


def consumers(meter: Meter) -> Iterator[Row]:
    """Consumers of one queue; on Redis all of them wait as workers do while a delayed task comes that is due before all others."""
    queue, all_, due = "consumers", list[Consumer](), itertools.count(EARLY, -SOONER)
    for size in steps(CONSUMERS, meter.sizes.consumers):
        before, had = meter.bytes(), len(all_)
        all_ += [Consumer(meter, queue) for _ in range(size - had)]
        if size - had >= BATCH:
            yield "a consumer", size, {"bytes": (meter.bytes() - before) / (size - had)}
        yield "exchange of 1", size, meter.timed(partial(all_[0].work, PART, 1), lambda: meter.push(queue, PART))
        all_[0].exchange(0)
        yield "renewal, a consumer", size, meter.timed(_often(partial(_renew, meter, all_), size))
        yield "counts()", size, meter.timed(_often(lambda: meter.store.counts(queue) and 1, 10))
        if meter.kind == "redis":
            with Crowd(all_) as crowd:
                looks = list[int]()
                found = meter.timed(partial(_earliest, meter, queue, due, crowd, looks))
                yield "earliest delayed push", size, {**found, "looks": statistics.median(looks)}
        meter.store.purge(queue)


def _renew(meter: Meter, all_: list[Consumer]) -> int:
    unknown = meter.store.renew([(one.queue, one.id) for one in all_], 3600.0)
    assert not unknown, f"{len(unknown)} of {len(all_)} consumers are not known any more"
    return len(all_)


def _earliest(meter: Meter, queue: str, due: Iterator[float], crowd: Crowd, looks: list[int]) -> int:
    """One push, and the looks of all that it wakes."""
    meter.push(queue, 1, next(due))
    looks.append(crowd.settle())
    return 1


def _often(work: Callable[[], int], pieces: int) -> Callable[[], int]:
    """The work, as often as makes a hundred pieces or so: what is shorter is lost in the clock."""
    return lambda: sum(work() for _ in range(max(1, BATCH // pieces)))


def queues(meter: Meter) -> Iterator[Row]:
    """Queues with a task in each."""
    names = list[str]()
    for size in steps(QUEUES, meter.sizes.queues):
        before, had = meter.bytes(), len(names)
        names += [f"queue-{number}" for number in range(had, size)]
        yield "first push to each", size, meter.timed(partial(_push_each, meter, names[had:]), slices=1)
        if size - had >= BATCH:
            yield "a queue", size, {"bytes": (meter.bytes() - before) / (size - had)}
        each = partial(_push_each, meter, names * max(1, PART // size))
        yield "push to each", size, meter.timed(each, slices=3)
        yield "queues()", size, meter.timed(lambda: len(meter.store.queues()) and 1, slices=3)


def _push_each(meter: Meter, names: list[str]) -> int:
    return sum(meter.push(name) for name in names)


def weights(meter: Meter) -> Iterator[Row]:
    """Bytes that stay behind tasks that are gone: of ids, of tokens; and of lanes that have a task."""
    tenth = max(BULK, meter.sizes.pushes // 10)
    yield "an id", tenth, {"bytes": _left(meter, lambda: _with_ids(meter, tenth)) / tenth}
    if meter.kind == "redis":
        yield "a process that pushes once", BULK, {"bytes": _left(meter, lambda: _processes(meter, BULK)) / BULK}
        made = list[int]()
        left = _left(meter, lambda: made.append(_one_by_one(meter)))
        yield "a push of one process", made[0], {"bytes": left / made[0]}
        yield f"{WEIGHED:,} of them, extrapolated", made[0], {"bytes": left / made[0] * WEIGHED}
    if FLOW in getattr(meter.store, "extras", lambda: meter.store.capabilities.extras)():
        plain = _held(meter, lambda: _in_lanes(meter, "one-lane", tenth, 1))
        apart = _held(meter, lambda: _in_lanes(meter, "many-lanes", tenth, tenth // 10))
        yield "a lane (beside its tasks)", tenth // 10, {"bytes": (apart - plain) / (tenth // 10)}


def _one_by_one(meter: Meter) -> int:
    """Push as many as shall be weighed, or as many as the time allows; how many."""
    done, until = 0, time.monotonic() + meter.sizes.seconds
    while done < meter.sizes.pushes and time.monotonic() < until:
        done += meter.pushes("pushed", BULK)
    return done


def _held(meter: Meter, work: Callable[[], object]) -> float:
    before = meter.bytes()
    work()
    return meter.bytes() - before


def _left(meter: Meter, work: Callable[[], object]) -> float:
    def all_() -> None:
        work()
        for queue in meter.store.queues():
            meter.store.purge(queue)

    for queue in ("pushed", "named"):
        meter.push(queue)
    return _held(meter, all_)


def _with_ids(meter: Meter, count: int) -> None:
    for first in range(0, count, BULK):
        ids = [f"order-{number:026d}" for number in range(first, min(first + BULK, count))]
        meter.store.push("named", [PAYLOAD] * len(ids), priority=PRIORITY, token=next(new_ids(1)), ids=ids)


def _processes(meter: Meter, count: int) -> None:
    for number in range(count):
        meter.store.push("pushed", [PAYLOAD], priority=PRIORITY, token=f"{number:018d}-0", token_window=600.0)


def _in_lanes(meter: Meter, queue: str, count: int, lanes: int) -> None:
    for first in range(0, count, BULK):
        tickets = [Ticket(lane=f"tenant-{number % lanes}") for number in range(first, min(first + BULK, count))]
        payloads = [PAYLOAD] * len(tickets)
        meter.store.admit(queue, payloads, tickets, priority=PRIORITY, token=next(new_ids(1)))


SUBJECTS: dict[str, Callable[[Meter], Iterator[Row]]] = {
    "waiting": waiting,
    "delayed": delayed,
    "dead": dead,
    "consumers": consumers,
    "queues": queues,
    "weights": weights,
}
