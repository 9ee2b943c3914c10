"""One queue in lanes over several servers, simulated: waits, order and requests, beside one line for all. Nothing of it is built.

    python -m benchmark.lanes [--seconds 20] [--workers 1000] [--seed 1]

Prints the table of docs/lanes.md. Tasks come at random times from many pushers and last 100 ms on average, at random too.
"""

from __future__ import annotations

import argparse
import random
import statistics
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush

RUN = 0.1
"""Mean seconds that a task runs."""
FIRST, LAST = 0.05, 2.0
"""Seconds after which an idle worker looks into another lane first, and at most: the pause doubles."""
PUSHERS = 100


@dataclass
class Lane:
    """What one server holds: tasks that wait, by number, and workers that wait, the longest first."""

    tasks: deque[int] = field(default_factory=deque)
    waiting: dict[int, None] = field(default_factory=dict)


@dataclass
class Pusher:
    """What a pusher was told by the lanes that it pushed to."""

    somebody: set[int] = field(default_factory=set)
    lengths: dict[int, int] = field(default_factory=dict)


@dataclass
class Seen:
    """What a simulation shows: seconds that tasks waited, how many older ones still waited when one started, requests."""

    waits: list[float] = field(default_factory=list)
    overtaken: list[int] = field(default_factory=list)
    requests: int = 0
    stolen: int = 0


class Simulation:
    """`lanes` servers, `workers` that run one task at a time, tasks that come `rate` times a second.

    Push: to a lane of which the pusher was told last that somebody waits there; else to the one of two that was shorter when it
    heard of them. Worker: at home; when that is empty it waits there, and looks into another lane after 50 ms, 100 ms, … 2 s.
    """

    def __init__(self, lanes: int, workers: int, rate: float, seed: int) -> None:
        self.lanes = [Lane() for _ in range(lanes)]
        self.rate, self.random = rate, random.Random(seed)
        self.pushers = [Pusher() for _ in range(PUSHERS)]
        self.now, self.number = 0.0, 0
        self.came: list[float] = []
        self.seen = Seen()
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.idle = [0] * workers
        """Of each worker how often it has started to wait: a look that was planned before is none of it."""
        for worker in range(workers):
            self._waits(worker)

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        """Something happens later."""
        self.number += 1
        heappush(self.events, (self.now + seconds, self.number, what))

    def run(self, seconds: float) -> Seen:
        """What is seen until then."""
        self.after(0.0, self._comes)
        while self.events and self.events[0][0] < seconds:
            self.now, _, what = heappop(self.events)
            what()
        return self.seen

    def _comes(self) -> None:
        self.push(self.random.choice(self.pushers))
        self.after(self.random.expovariate(self.rate), self._comes)

    def push(self, pusher: Pusher) -> None:
        """One task, to the lane that the pusher chooses; the answer says what is there."""
        number, several = len(self.came), len(self.lanes)
        self.came.append(self.now)
        if pusher.somebody:
            chosen = self.random.choice(sorted(pusher.somebody))
        else:
            chosen = min(self.random.choices(range(several), k=2), key=lambda lane: pusher.lengths.get(lane, 0))
        lane = self.lanes[chosen]
        self.seen.requests += 1
        lane.tasks.append(number)
        if lane.waiting:
            worker = next(iter(lane.waiting))
            self.seen.requests += 1
            self._starts(worker, lane)
        pusher.lengths[chosen] = len(lane.tasks)
        (pusher.somebody.add if lane.waiting else pusher.somebody.discard)(chosen)

    def _starts(self, worker: int, lane: Lane) -> None:
        number = lane.tasks.popleft()
        self.lanes[worker % len(self.lanes)].waiting.pop(worker, None)
        self.idle[worker] += 1
        self.seen.waits.append(self.now - self.came[number])
        older = sum(bisect_left(other.tasks, number) for other in self.lanes if other is not lane)
        self.seen.overtaken.append(older)
        self.after(self.random.expovariate(1 / RUN), lambda: self._ends(worker))

    def _ends(self, worker: int) -> None:
        home = self.lanes[worker % len(self.lanes)]
        self.seen.requests += 1
        if home.tasks:
            self._starts(worker, home)
        else:
            self._waits(worker)

    def _waits(self, worker: int) -> None:
        self.lanes[worker % len(self.lanes)].waiting[worker] = None
        self.idle[worker] += 1
        if len(self.lanes) > 1:
            self._plans(worker, FIRST)

    def _plans(self, worker: int, pause: float) -> None:
        since = self.idle[worker]
        self.after(pause * self.random.uniform(0.5, 1.0), lambda: self._looks(worker, since, pause))

    def _looks(self, worker: int, since: int, pause: float) -> None:
        if self.idle[worker] != since:
            return
        home = worker % len(self.lanes)
        other = (home + self.random.randrange(1, len(self.lanes))) % len(self.lanes)
        self.seen.requests += 1
        if self.lanes[other].tasks:
            self.seen.stolen += 1
            self._starts(worker, self.lanes[other])
        else:
            self._plans(worker, min(2 * pause, LAST))


def row(lanes: int, workers: int, load: float, seconds: float, seed: int) -> str:
    """One line of the table."""
    made = Simulation(lanes, workers, load * workers / RUN, seed)
    seen = made.run(seconds)
    waits = statistics.quantiles(seen.waits, n=1000)
    late = sorted(seen.overtaken)
    left = sum(len(lane.tasks) for lane in made.lanes)
    return (
        f"| {lanes} | {load:.0%} | {len(seen.waits) / seconds:,.0f} | {waits[499] * 1000:.1f} | {waits[989] * 1000:.0f} | "
        f"{late[len(late) * 99 // 100]:,} | {seen.requests / len(seen.waits):.2f} | {seen.stolen / len(seen.waits):.1%} | {left:,} |"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmark.lanes", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long is simulated")
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    told = parser.parse_args()
    print(
        "| lanes | load | tasks/s | wait p50, ms | wait p99, ms | older ones that waited, p99 | requests a task | stolen | left |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for load in (0.5, 0.9, 0.98, 1.05):
        for lanes in (1, 4, 16):
            print(row(lanes, told.workers, load, told.seconds, told.seed), flush=True)


if __name__ == "__main__":
    main()
