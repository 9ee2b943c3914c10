"""RQ: by default a process for each job; `SimpleWorker` runs jobs in its own process; results kept 500 s, or not at all."""

from __future__ import annotations

from benchmark.peers.system import RESULTS, Job, System, Variant


def commands(job: Job) -> list[list[str]]:
    line = [f"{job.bin}/rq", "worker", "bench", "-q", "-u", job.url]
    if job.variant.endswith("simple"):
        line += ["-w", "rq.worker.SimpleWorker", "--disable-job-desc-logging"]
    return [line] * job.workers


SYSTEM = System(
    "rq",
    "rq_app",
    ("rq", "hiredis"),
    (
        Variant("defaults", 60, "marked failed, for a person to requeue", crowd=True, faults=True),
        Variant("simple", 500, "marked failed when its heartbeat has run out"),
        Variant("retry", 60, "Retry(max=3): again, when its end has been noticed", faults=True, speed=False),
        *(Variant(name, 60, "as above", only=RESULTS) for name in ("results", "results, simple")),
    ),
    commands,
    "SIGALRM in the job's process; the process is killed a minute later",
)
