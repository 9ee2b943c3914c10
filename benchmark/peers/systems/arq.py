"""arq: 10 jobs at once and a look for jobs every 0.5 s by default; tuned 100, every 10 ms, no results."""

from __future__ import annotations

from benchmark.peers.system import Job, System, Variant


def commands(job: Job) -> list[list[str]]:
    return [[f"{job.bin}/arq", "arq_app.WorkerSettings"]] * job.workers


PROMISE = "at least once: again when its lock has run out, job_timeout + 10 s (310 s)"
SYSTEM = System(
    "arq",
    "arq_app",
    ("arq", "hiredis"),
    (
        Variant("defaults", 250, PROMISE, crowd=True, bulk=False, faults=True),
        Variant("tuned", 600, PROMISE, bulk=False),
    ),
    commands,
    "a cancellation, at the next await",
)
