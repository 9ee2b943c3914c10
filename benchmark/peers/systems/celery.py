"""Celery: Redis broker, no result backend (its default) but for results; one prefork process for each worker."""

from __future__ import annotations

from benchmark.peers.system import RESULTS, Job, System, Variant


def commands(job: Job) -> list[list[str]]:
    line = [
        f"{job.bin}/celery",
        "-A",
        "celery_app",
        "worker",
        "-c",
        str(job.workers),
        "-l",
        "WARNING",
    ]
    if job.variant == "tuned":
        line += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    return [line]


SYSTEM = System(
    "celery",
    "celery_app",
    ("celery[redis]", "hiredis", "setuptools"),
    (
        Variant("defaults", 800, "acknowledged before it runs: lost", crowd=True, bulk=False, faults=True),
        Variant("tuned", 1_000, "acknowledged before it runs: lost", bulk=False),
        Variant(
            "safe",
            700,
            "acks_late, reject_on_worker_lost: again at once if its parent lives",
            bulk=False,
            faults=True,
            speed=False,
        ),
        Variant("results", 800, "as above", bulk=False, only=RESULTS),
    ),
    commands,
    "prefork: killed at its limit",
)
