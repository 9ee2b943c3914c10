"""FlexiQ: an engine in Rust; SQLite by default, Redis; threads by default (as many as processors), or processes (`--pool prefork`)."""

from __future__ import annotations

from benchmark.peers.system import Job, System, Variant


def commands(job: Job) -> list[list[str]]:
    line = [f"{job.bin}/flexiq", "worker", "--app", "flexiq_app:queue"]
    if job.variant.endswith("prefork"):
        line += ["--pool", "prefork"]
    return [line] * job.workers


PROMISE = "at least once: again when the heartbeat of its worker has run out"
WAIT = frozenset({"wait"})
SYSTEM = System(
    "flexiq",
    "flexiq_app",
    ("flexiq", "redis"),
    (
        Variant("redis", 2, PROMISE, faults=True),  # of what waited before it started it takes four each 2 s
        Variant("redis, polling", 100, PROMISE, crowd=True),
        Variant("redis, prefork", 100, PROMISE, faults=True),
        Variant("sqlite", 60, PROMISE, "sqlite", crowd=True, faults=True),
        Variant("redis results", 1_000, PROMISE, only=WAIT),
        Variant("sqlite results", 1_000, PROMISE, "sqlite", only=WAIT),
    ),
    commands,
    "its process is killed, with processes; with threads it is retried beside the one that goes on",
)
