"""Huey on Redis and on SQLite: one worker thread by default; tuned without results and without periodic tasks, in processes."""

from __future__ import annotations

from benchmark.peers.system import RESULTS, Job, System, Variant


def commands(job: Job) -> list[list[str]]:
    line = [f"{job.bin}/huey_consumer", "huey_app.huey", "-w", str(job.workers), "-q"]
    if job.variant.endswith("tuned") or job.workers > 1:
        line += ["-k", "process"]
    if job.variant.endswith("tuned"):
        line += ["-n"]
    if job.variant.startswith("sqlite"):
        line += ["-m", "0.1"]  # the longest that it sleeps between two looks; its default is 10 s
    return [line]


PROMISE = "popped: lost"
SYSTEM = System(
    "huey",
    "huey_app",
    ("huey", "redis", "hiredis"),
    (
        Variant("redis", 1_500, PROMISE, crowd=True, bulk=False, faults=True),
        Variant("redis tuned", 1_800, PROMISE, bulk=False),
        Variant("sqlite", 2_000, PROMISE, "sqlite", bulk=False, faults=True),
        Variant("sqlite tuned", 2_500, PROMISE, "sqlite", bulk=False),
        Variant("redis results", 1_500, PROMISE, bulk=False, only=RESULTS),
        Variant("redis results, notified", 1_500, PROMISE, bulk=False, only=RESULTS),
        Variant("sqlite results", 2_000, PROMISE, "sqlite", bulk=False, only=RESULTS),
        Variant("sqlite results, 10 ms", 2_000, PROMISE, "sqlite", bulk=False, only=RESULTS),
    ),
    commands,
    "an exception in its main thread with processes, at its next look with threads",
)
