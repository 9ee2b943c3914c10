"""The speed phases of one session. Each function returns figures; CPU in µs per task, of client, workers and server apart."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmark.growth.sizes import Sizes
from benchmark.measure import metering
from benchmark.measure.processes import Workers
from benchmark.measure.session import Session

Figures = dict[str, Any]
Found = Iterator[tuple[str, Figures]]
Wanted = Callable[[str], bool]
SIZES = {"1 kB": (1_000, 300), "100 kB": (100_000, 60), "1 MB": (1_000_000, 10)}
"""Bytes of the argument, and how many tasks."""


SLICES = 3, 16
"""Least and most slices of a push figure. The same loop costs half or double from one tenth of a second to the next, as the
scheduler places client and server; the median of many short slices is the same in every run.
"""


class Scale:
    """How much is done: `seconds` of work for each figure, growth up to some sizes; and the other checkout, if there is one."""

    def __init__(
        self, seconds: float, million: int = 1_000_000, beside: Path | None = None, growth: Sizes | None = None
    ) -> None:
        self.seconds, self.million, self.beside = seconds, million, beside
        self.growth = growth or Sizes()
        self.pushes = max(100, int(700 * seconds))
        self.wakes = max(20, int(300 * seconds))
        self.waits = max(20, int(150 * seconds))
        self.settle = min(1.5, seconds)
        self.pairs = 8 * seconds
        """Seconds of what is measured in pairs, for each variant."""
        self.turns = 17 * seconds
        """Seconds of one variant's turns in a quick run."""


def push(session: Session, count: int, bulk: bool, seconds: float) -> Figures:
    """Push while no worker runs, `count` in each slice: the medians of the slices, of which none is begun after `seconds`."""
    until = time.monotonic() + seconds
    slices = list[Figures]()
    while len(slices) < SLICES[0] or (len(slices) < SLICES[1] and time.monotonic() < until):
        slices.append(push_slice(session, count, bulk, seconds))
    return {name: statistics.median(one[name] for one in slices) for name in slices[0]}


def push_slice(session: Session, count: int, bulk: bool, seconds: float) -> Figures:
    """What pushes cost, `count` of them, or as many as were made in `seconds`."""
    before = session.sample(None)
    _, told = session.push("noop", count, bulk=bulk, seconds=seconds)
    after = session.sample(None)
    found = before.until(after, told["pushed"])
    del found["worker_us"]
    return {
        **found,
        "client_us": told["cpu"] / told["pushed"] * 1e6,
        "rate": told["pushed"] / told["wall"],
    }


def consume(session: Session, workers: Workers, first: int, count: int, settle: float) -> Figures:
    """All of the tasks wait when the workers start. Counted from a tenth of them and `settle` seconds after the first, when what
    starts beside the workers has started, but at the latest from the half.
    """
    session.until(workers, first, count, count // 10, 90)
    session.until(workers, first, count, count // 2, 90, time.monotonic() + settle)
    before = session.sample(workers, first, count)
    session.until(workers, first, count, count, 90)
    after = session.sample(workers, first, count)
    return {
        **before.until(after, after.done - before.done),
        "tasks": count,
        "counted": after.done - before.done,
        "twice": session.board.again(first, count),
    }


def idle(session: Session, workers: Workers, seconds: float) -> Figures:
    """Per second of waiting; the least of two windows, because what else runs on the machine only adds."""
    windows = list[Figures]()
    time.sleep(min(seconds, 2.0))
    for _ in range(2):
        before = session.sample(workers)._replace(server=session.place.cpu())  # behind its INFO
        time.sleep(seconds)
        server = session.place.cpu()
        after = session.sample(workers)
        took = after.at - before.at
        found = {
            "tree_ms_per_s": 1000 * (after.workers - before.workers) / took,
            "server_ms_per_s": 1000 * (server - before.server) / took,
        }
        if "commands" in before.counters:  # less the INFO of the sample itself
            found["commands_per_s"] = (after.counters["commands"] - before.counters["commands"] - 1) / took
        windows.append(found)
    return min(windows, key=lambda one: one["tree_ms_per_s"])


def latency(session: Session, count: int, seconds: float) -> Figures:
    """Milliseconds from before a push to the start of its task, in a worker that waits."""
    first = session.take(count + 3, stamped=True)
    order = {"do": "latency", "seconds": seconds}
    session.client.ask(**order, first=first, count=3)
    found = sorted(session.client.ask(**order, first=first + 3, count=count)["ms"])
    return {
        "p50_ms": statistics.median(found),
        "p99_ms": found[int(len(found) * 0.99)],
        "worst_ms": found[-1],
        "pushes": len(found),
    }


def sizes(session: Session, workers: Workers, scale: Scale) -> Found:
    """Tasks with large arguments, pushed one by one to a worker that waits."""
    time.sleep(scale.settle)  # what starts beside the worker has started
    for name, (size, most) in SIZES.items():
        count = max(3, int(most * min(1.0, scale.seconds / 2)))
        before = session.sample(workers)
        first, told = session.push("stamp", count, size=size)
        session.until(workers, first, count, count, 60)
        after = session.sample(workers)
        yield (
            f"size {name}",
            {
                **before.until(after, count),
                "client_us": told["cpu"] / count * 1e6,
            },
        )


def million(session: Session, scale: Scale) -> Figures:
    """So many tasks that wait: memory of the server for each, and what a worker costs beside them."""
    before = session.sample(None)
    first, told = session.push("noop", scale.million, bulk=True, seconds=20)
    after, count = session.sample(None), told["pushed"]
    found: Figures = {"waiting": count, "client_us": told["cpu"] / count * 1e6}
    if "memory" in after.counters:
        found["server_bytes"] = (after.counters["memory"] - before.counters["memory"]) / count
    with session.workers() as workers:
        part = max(100, min(count // 2, int(session.variant.pace * scale.seconds)))
        session.until(workers, first, count, max(1, part // 10), 60)
        one = session.sample(workers, first, count)
        session.until(workers, first, count, part, 60)
        two = session.sample(workers, first, count)
    return {**found, **one.until(two, two.done - one.done)}


def pushes(session: Session, scale: Scale, wanted: Wanted) -> Found:
    """What a push costs."""
    session.push("noop", 50)  # warm-up
    if wanted("push"):
        yield "push", push(session, scale.pushes // 2, False, scale.seconds)
    if wanted("bulk") and session.variant.bulk:
        session.push("noop", 1000, bulk=True)
        yield "bulk", push(session, scale.pushes * 8, True, scale.seconds)


def work(session: Session, scale: Scale, wanted: Wanted) -> Found:
    """One worker, from its start with tasks that wait to its waiting for tasks."""
    first, count = _fill(session, scale.seconds + scale.settle if wanted("consume") else 0.0)
    with session.workers() as workers:
        session.until(workers, first, count, 1, 60)
        yield "start", {"start_s": (time.monotonic_ns() - workers.began) / 1e9}
        if wanted("consume"):
            yield "consume", consume(session, workers, first, count, scale.settle)
        session.until(workers, first, count, count, 90)
        if wanted("memory"):
            yield "memory", {"pss_mib": metering.pss(workers.roots)}
        if wanted("latency") and session.variant.waits:
            yield "latency", latency(session, scale.wakes, scale.seconds * 2)
        if wanted("idle") and session.variant.waits:
            yield "idle", idle(session, workers, scale.seconds * 1.5)
        if wanted("sizes"):
            yield from sizes(session, workers, scale)


def two(session: Session, scale: Scale, wanted: Wanted) -> Found:
    """Two workers."""
    first, count = _fill(session, scale.seconds * 1.5 + scale.settle)
    with session.workers(2) as workers:
        yield "two", consume(session, workers, first, count, scale.settle)


def many(session: Session, scale: Scale, wanted: Wanted) -> Found:
    """A million tasks that wait."""
    yield "million", million(session, scale)


def _fill(session: Session, seconds: float) -> tuple[int, int]:
    wants = max(150, int(session.variant.pace * seconds))
    first, told = session.push("noop", wants, bulk=True, seconds=60)
    return first, told["pushed"]


GROUPS: dict[str, tuple[tuple[str, ...], Callable[[Session, Scale, Wanted], Found]]] = {
    "push": (("push", "bulk"), pushes),
    "work": (("start", "consume", "memory", "latency", "idle", "sizes"), work),
    "two": (("two",), two),
    "million": (("million",), many),
}
"""What is measured in one session each, with the names of its phases."""
