"""Taskiq with taskiq-redis: a list (popped), and a stream with acknowledgments; results in its Redis backend."""

from __future__ import annotations

from benchmark.peers.system import RESULTS, Job, System, Variant


def commands(job: Job) -> list[list[str]]:
    return [
        [
            f"{job.bin}/taskiq",
            "worker",
            "taskiq_app:broker",
            "--workers",
            str(job.workers),
            "--log-level",
            "WARNING",
        ]
    ]


SYSTEM = System(
    "taskiq",
    "taskiq_app",
    ("taskiq", "taskiq-redis", "taskiq-pipelines", "hiredis"),
    (
        Variant("list", 1_500, "popped: lost", crowd=True, bulk=False, faults=True),
        Variant("stream", 1_500, "at least once: again when it was idle for 10 minutes", bulk=False, faults=True),
        *(Variant(name, 1_500, "popped: lost", bulk=False, only=RESULTS) for name in ("results", "results, 10 ms")),
    ),
    commands,
    "a cancellation, at the next await",
)
