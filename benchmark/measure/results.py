"""What results cost, and how long they take to arrive; and what this checkout costs beside another, in pairs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from benchmark.measure.places import place
from benchmark.measure.processes import Failed, Workers
from benchmark.measure.session import Session
from benchmark.measure.speed import Figures, Found, Scale, Wanted

CROWD, IDLE = 10_000, 10.0
"""How many wait in one process, and seconds of looking at them."""
STARTED = 20
"""Tasks by which one sees that a worker works. Not all of them need run: SAQ, when it starts, ends some that it takes meanwhile."""
PART = 0.3
"""Seconds of work of one side's turn, roughly."""
MOST = 6_000
"""Tasks of a turn, at most."""
SETTLED = 0.03
"""Seconds from the run of the last task of a turn to its settlement, at most."""
QUIET = 0.02
"""CPU s of a tree in half a second in which nothing starts beside its workers any more."""
LEAST = 4
"""Pairs of turns, however long they take."""
CPU = ("worker_us", "server_us", "client_us", "push_server_us")
FRESH = 6
"""Turns of one pair of workers: two processes of the same program were seen to differ by a tenth."""


def results(session: Session, scale: Scale, wanted: Wanted) -> Found:
    """How long the result of a task takes to reach who waits for it, and what 10,000 waits cost."""
    if wanted("wait"):
        with session.workers() as workers:
            yield "wait", wait(session, workers, scale)
    if wanted("waiters"):
        yield from waiters(session)


def wait(session: Session, workers: Workers, scale: Scale) -> Figures:
    """Milliseconds from the end of a task to the return of its result, of a worker that waits and a client that waits."""
    first, _ = session.push("noop", STARTED)
    session.until(workers, first, STARTED, 1, 60)
    session.until(workers, first, STARTED, STARTED, 60, time.monotonic() + 3)
    time.sleep(scale.settle)
    first = session.take(3 + scale.waits, stamped=True)
    order = {"do": "wait", "seconds": scale.seconds * 8}
    session.client.ask(**order, first=first, count=3)
    found = sorted(session.client.ask(**order, first=first + 3, count=scale.waits)["ms"])
    workers.look()
    return {
        "p50_ms": statistics.median(found),
        "p99_ms": found[int(len(found) * 0.99)],
        "worst_ms": found[-1],
        "results": len(found),
    }


def waiters(session: Session) -> Found:
    """Many waits in one process for tasks that nobody runs."""
    told = session.client.ask(do="waiters", count=CROWD, seconds=IDLE)
    for way, found in told.items():
        yield f"waiters {way}", found


def kept(session: Session, scale: Scale, wanted: Wanted) -> Found:
    """A task that returns 100 bytes: what keeping them costs, beside the same variant without results."""
    env = {name: value for name, value in session.variant.env.items() if name != "BENCH_RESULTS"}
    with another(session, env, session.bin) as plain:
        for figures in pairs(plain, session, scale.pairs):
            yield "kept", figures


def beside(session: Session, scale: Scale, wanted: Wanted) -> Found:
    """The same tasks, without results, in another checkout and in this one."""
    assert scale.beside is not None
    bin = scale.beside.resolve() / ".venv" / "bin"
    if not (bin / "regiment").exists():
        raise Failed(f"{scale.beside} has no environment with regiment in it: make -C {scale.beside} .venv/bin/.ready")
    with another(session, session.variant.env, bin) as before:
        for figures in pairs(before, session, scale.pairs):
            yield "beside", figures


@contextmanager
def another(like: Session, env: Mapping[str, str], bin: Path) -> Iterator[Session]:
    """A session like this one, on a store of its own, with another environment."""
    with (
        place(like.variant.store, like.variant.release) as where,
        Session(like.system, replace(like.variant, env=env), bin, where) as made,
    ):
        yield made


def pairs(one: Session, two: Session, seconds: float) -> Iterator[Figures]:
    """Both do the same in turns, one worker each; figures of each pair of turns, of which none is begun after `seconds`."""
    until, number = time.monotonic() + seconds, 0
    while number < LEAST or time.monotonic() < until:
        with one.workers() as first, two.workers() as second:
            turn(one, first), turn(two, second)  # nobody's figure
            quiet(first)
            quiet(second)
            for _ in range(FRESH):
                number += 1
                if number % 2:
                    before, after = turn(one, first), turn(two, second)
                else:
                    after, before = turn(two, second), turn(one, first)
                yield compared(before, after)
                if number >= LEAST and time.monotonic() > until:
                    return


def quiet(workers: Workers) -> None:
    """Wait until what starts beside the workers has started: the first task does not wait for the steward. At most 10 s."""
    until, last = time.monotonic() + 10, -1.0
    while (now := workers.cpu()) - last > QUIET and time.monotonic() < until:
        last = now
        time.sleep(0.5)


def turn(session: Session, workers: Workers) -> Figures:
    """Push while the worker is held, one by one or, for one that takes batches, in bulk; then let it work. CPU µs per task."""
    batch = int(session.variant.batch)
    count = min(MOST, int(session.variant.pace * PART)) // batch * batch
    session.hold(workers)
    before = session.sample(workers)
    first, told = session.push("kept", count, bulk=batch > 1)
    pushed = session.sample(workers)
    workers.go()
    session.until(workers, first, count, count, 60)
    time.sleep(SETTLED)
    after = session.sample(workers)
    if twice := session.board.again(first, count):
        raise Failed(f"{twice} of {count} tasks ran twice, and nobody was killed")
    pushing = before.until(pushed, count)["server_us"]
    return {**pushed.until(after, count), "client_us": told["cpu"] / count * 1e6, "push_server_us": pushing}


def compared(one: Figures, two: Figures) -> Figures:
    """What the first side costs; what the second one costs more per task, and in parts of the first."""
    found = {name: one[name] for name in CPU}
    for name in one.keys() - {"rate"}:
        found[f"{name} more"] = two[name] - one[name]
    for name in CPU:
        if one[name]:
            found[f"{name} ratio"] = two[name] / one[name]
    return found
