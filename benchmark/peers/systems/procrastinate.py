"""Procrastinate: PostgreSQL, one task at a time by default; tuned: ten at once, rows of tasks that are done are deleted."""

from __future__ import annotations

from benchmark.peers.system import Job, System, Variant


def commands(job: Job) -> list[list[str]]:
    line = [job.python, "-m", "procrastinate", "--app", "procrastinate_app.app", "--log-level", "warning", "worker"]
    if job.variant == "tuned":
        line += ["--concurrency", "10", "--delete-jobs", "successful"]
    return [line] * job.workers


SYSTEM = System(
    "procrastinate",
    "procrastinate_app",
    ("procrastinate", "psycopg[binary]"),
    (
        Variant(
            "defaults",
            150,
            "stays as it is, for a person or a task of one's own to retry",
            "postgres",
            crowd=True,
            faults=True,
        ),
        Variant("tuned", 250, "as above", "postgres"),
        Variant(
            "retry",
            150,
            "a periodic task, each minute, retries it 30 s after the last heartbeat",
            "postgres",
            faults=True,
            speed=False,
        ),
    ),
    commands,
)
