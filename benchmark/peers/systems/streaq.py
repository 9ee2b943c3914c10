"""streaq: Redis streams and functions; 16 tasks at once by default; tuned without results and without a line of log for each task."""

from __future__ import annotations

from benchmark.peers.system import RESULTS, Job, System, Variant


def commands(job: Job) -> list[list[str]]:
    return [[f"{job.bin}/streaq", "run", "streaq_app:worker"]] * job.workers


PROMISE = "at least once: again when it was idle for its timeout, 60 s"
SYSTEM = System(
    "streaq",
    "streaq_app",
    ("streaq",),
    (
        Variant("defaults", 1_000, PROMISE, crowd=True, faults=True),
        Variant("tuned", 1_500, PROMISE),
        Variant("results", 1_000, PROMISE, bulk=False, only=RESULTS),
    ),
    commands,
    "a cancellation, at the next await",
)
