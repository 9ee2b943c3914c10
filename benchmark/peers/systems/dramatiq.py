"""Dramatiq: Redis broker, its default middleware; results are off unless asked for."""

from __future__ import annotations

from benchmark.peers.system import RESULTS, Job, System, Variant

PROMISE = "at least once: again when the heartbeat of its worker has run out, 60 s"


def commands(job: Job) -> list[list[str]]:
    threads = "1" if job.variant == "one thread" else "8"
    return [[f"{job.bin}/dramatiq", "dramatiq_app", "-p", str(job.workers), "-t", threads]]


SYSTEM = System(
    "dramatiq",
    "dramatiq_app",
    ("dramatiq[redis]", "hiredis"),
    (
        Variant("defaults", 1_000, PROMISE, crowd=True, bulk=False, faults=True),
        Variant("one thread", 1_200, PROMISE, bulk=False, env={"dramatiq_queue_prefetch": "1000"}),
        Variant("results", 1_000, PROMISE, bulk=False, only=RESULTS),
    ),
    commands,
    "an exception in the thread, when it is back in Python",
)
