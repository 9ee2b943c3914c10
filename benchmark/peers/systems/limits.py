"""The limits: bare loops that do everything but the framework, at least once, with no one to take back what a dead one held."""

from __future__ import annotations

from benchmark.peers.system import Job, Store, System, Variant


def commands(job: Job) -> list[list[str]]:
    store = job.variant.partition(" ")[0]
    return [[job.python, f"bare_{store}.py"]] * job.workers


def _variant(store: Store, batch: int, pace: int) -> Variant:
    return Variant(
        f"{store} {batch:,}",
        pace,
        "nothing: nobody takes its tasks back",
        store,
        {"BENCH_BATCH": str(batch)},
        quick=store != "mongo" or batch == 1,
        waits=store != "mongo",
        crowd=batch == 100 and store != "mongo",
    )


SYSTEM = System(
    "limit",
    "bare_{store}",
    (),
    (
        _variant("redis", 1, 9_000),
        _variant("redis", 100, 250_000),
        _variant("redis", 1000, 400_000),
        _variant("sqlite", 1, 25_000),
        _variant("sqlite", 100, 150_000),
        _variant("mongo", 1, 1_500),
        _variant("mongo", 100, 20_000),
    ),
    commands,
)
