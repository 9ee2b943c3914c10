"""TaskTiger: by default a process for each task; `--executor sync` runs them in the worker."""

from __future__ import annotations

from benchmark.peers.system import Job, System, Variant


def commands(job: Job) -> list[list[str]]:
    line = [job.python, "tasktiger_app.py", "-m", "tasks"]
    if job.variant == "sync":
        line += ["--executor", "sync"]
    return [line] * job.workers


PROMISE = "at least once: again when it was silent for 60 s, looked for every 30 s"
SYSTEM = System(
    "tasktiger",
    "tasktiger_app",
    ("tasktiger", "hiredis", "setuptools"),
    (
        Variant("defaults", 60, PROMISE, crowd=True, bulk=False, faults=True),
        Variant("sync", 400, PROMISE, bulk=False),
    ),
    commands,
    "SIGALRM in the task's process; that is killed 30 s later",
)
