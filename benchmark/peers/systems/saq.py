"""SAQ: Redis, 10 jobs at once by default; tuned without results."""

from __future__ import annotations

from benchmark.peers.system import RESULTS, Job, System, Variant


def commands(job: Job) -> list[list[str]]:
    return [[f"{job.bin}/saq", "saq_app.settings", "--quiet"]] * job.workers


PROMISE = "aborted or retried when it is stuck; sweeps once a minute"
SYSTEM = System(
    "saq",
    "saq_app",
    ("saq[redis]", "hiredis", "typing_extensions"),
    (
        Variant("defaults", 1_000, PROMISE, crowd=True, bulk=False, faults=True),
        Variant("tuned", 1_000, PROMISE, bulk=False),
        *(Variant(name, 1_000, PROMISE, bulk=False, only=RESULTS) for name in ("results", "results, refresh")),
    ),
    commands,
    "a cancellation, at the next await",
)
