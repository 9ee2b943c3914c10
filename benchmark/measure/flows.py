"""What flows cost: a chain of 10, and a chord, beside as many tasks that wait for nothing, one worker each."""

from __future__ import annotations

import statistics
import time

from benchmark.measure.processes import Failed
from benchmark.measure.session import Session
from benchmark.measure.speed import Figures, Found, Scale, Wanted

CHAIN, MEMBERS = 10, 1_000
"""Tasks of a chain; members of a chord, fewer where they would take longer than `LONGEST`."""
LONGEST = 5.0
"""Seconds of one chord, by the pace of the variant."""
CHORDS = 2
"""How many chords: the tasks with times of a session are 8,192."""
STARTED = 20
"""Tasks by which one sees that a worker works."""


def flows(session: Session, scale: Scale, wanted: Wanted) -> Found:
    """Chains, then chords, each in turns with plain tasks."""
    with session.workers() as workers:
        first, _ = session.push("noop", STARTED)
        session.until(workers, first, STARTED, 1, 60)
        session.until(workers, first, STARTED, STARTED, 60, time.monotonic() + 3)
        time.sleep(scale.settle)
        if wanted("chain"):
            yield "chain", pairs(session, "chain", CHAIN, max(5, min(30, int(10 * scale.seconds))))
        if wanted("chord"):
            yield "chord", pairs(session, "chord", min(MEMBERS, int(session.variant.pace * LONGEST)), CHORDS)
        workers.look()


def pairs(session: Session, what: str, count: int, times: int) -> Figures:
    """Medians of so many flows, and of as many times the same tasks as plain ones, in turns; the first of each is nobody's figure."""
    plain, made = list[dict[str, float]](), list[dict[str, float]]()
    warm = 1 if what == "chain" else 0
    for _ in range(times + warm):
        plain.append(one(session, "plain", count))
        made.append(one(session, what, count))
    plain, made = plain[warm:], made[warm:]
    middle = {name: statistics.median(each[name] for each in made) for name in made[0]}
    alone = statistics.median(each["ms"] for each in plain)
    found: Figures = {"ms": middle["ms"], "plain_ms": alone, "ratio": middle["ms"] / alone, "tasks": count}
    found["client_us"] = middle["cpu"] / count * 1e6
    if "callback_ms" in middle:
        found["callback_ms"] = middle["callback_ms"]
    return found


def one(session: Session, what: str, count: int) -> dict[str, float]:
    """One flow; Failed if its callback or one of its tasks has run twice."""
    tasks = count + (what == "chord")
    first = session.take(tasks, stamped=True)
    told: dict[str, float] = session.client.ask(do="flow", what=what, first=first, count=count)
    if twice := session.board.again(first, tasks):
        raise Failed(f"{twice} of the {tasks} tasks of a {what} ran twice, and nobody was killed")
    return told
