"""Sergeant: one and 100 tasks per transaction, its time limit armed (a process that watches); without a limit there is none."""

from __future__ import annotations

from benchmark.peers.system import Job, System, Variant


def commands(job: Job) -> list[list[str]]:
    return [
        [
            job.python,
            "-m",
            "sergeant.supervisor",
            f"--concurrent-workers={job.workers}",
            "--worker-module=sergeant_app",
            "--worker-class=Bench",
        ]
    ]


PROMISE = "popped: lost"
SYSTEM = System(
    "sergeant",
    "sergeant_app",
    ("sergeant", "hiredis<3"),
    (
        Variant("1", 3_000, PROMISE, crowd=True, faults=True, env={"BENCH_LIMIT": "1"}),
        Variant("100", 30_000, PROMISE, env={"BENCH_BATCH": "100", "BENCH_LIMIT": "1"}),
        Variant("100, no limit", 80_000, PROMISE, env={"BENCH_BATCH": "100", "BENCH_LIMIT": "0"}),
    ),
    commands,
    "killed a grace period after its limit",
)
