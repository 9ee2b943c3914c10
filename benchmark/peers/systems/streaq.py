"""streaq: Redis streams and functions; 16 tasks at once by default. Only its waiting for results is measured."""

from __future__ import annotations

from benchmark.peers.system import RESULTS, Job, System, Variant


def commands(job: Job) -> list[list[str]]:
    return [[f"{job.bin}/streaq", "run", "streaq_app:worker"]] * job.workers


SYSTEM = System(
    "streaq",
    "streaq_app",
    ("streaq",),
    (Variant("results", 1_000, "at least once: again when it was idle for its timeout", bulk=False, only=RESULTS),),
    commands,
    "a cancellation, at the next await",
)
