"""regiment, from the environment of the harness: each store, batches, executors, at least and at most once."""

from __future__ import annotations

from typing import Any

from benchmark.peers.system import FLOWS, RESULTS, Job, Store, System, Variant

LEAST = "at least once: available to others within 1 s"
MOST = "at most once, by choice: a dead letter with the reason"


def commands(job: Job) -> list[list[str]]:
    return [[job.python, "-m", "regiment", "run", "regiment_app:bench", "--workers", str(job.workers)]]


def _variant(
    name: str,
    pace: int,
    store: Store = "redis",
    promise: str = LEAST,
    quick: bool = True,
    faults: bool = False,
    crowd: bool = False,
    **env: Any,
) -> Variant:
    settings = {f"BENCH_{key.upper()}": str(value) for key, value in env.items()}
    return Variant(name, pace, promise, store, settings, quick=quick, faults=faults, crowd=crowd)


def _coded(name: str, **env: Any) -> Variant:
    """Another serializer or compressor: the sizes only."""
    settings = {f"BENCH_{key.upper()}": str(value) for key, value in env.items()}
    return Variant(f"redis 1, {name}", 500, LEAST, env=settings, only=frozenset({"sizes"}))


def _kept(store: Store, batch: int, pace: int) -> Variant:
    """With results. In batches only for what keeping them costs."""
    only = RESULTS - FLOWS | {"kept"} if batch == 1 else frozenset({"kept"})
    if batch == 1 and store != "mongo":  # where 10,000 pushes take half a minute
        only |= {"waiters"}
    env = {"BENCH_RESULTS": "1", "BENCH_BATCH": str(batch)}
    return Variant(f"{store} {batch}, results", pace, LEAST, store, env, only=only, quick=store != "mongo")


def _flows(store: Store, batch: int, pace: int) -> Variant:
    """With workflows."""
    env = {"BENCH_FLOWS": "1", "BENCH_BATCH": str(batch)}
    return Variant(f"{store} {batch}, flows", pace, LEAST, store, env, only=FLOWS, quick=store != "mongo")


def _growth(store: Store) -> Variant:
    """Not by its tasks: what the connector costs as more and more is there."""
    return Variant(f"{store}, growth", 1_000, LEAST, store, only=frozenset({"growth"}))


def _beside(store: Store, batch: int, pace: int) -> Variant:
    """Of this checkout and of another."""
    env = {"BENCH_BATCH": str(batch)}
    return Variant(f"{store} {batch}, beside", pace, LEAST, store, env, only=frozenset({"beside"}))


PACES: tuple[tuple[Store, int, int], ...] = (
    ("redis", 1, 4_500),
    ("redis", 100, 120_000),
    ("sqlite", 1, 8_000),
    ("sqlite", 100, 80_000),
    ("mongo", 1, 600),
    ("mongo", 100, 8_000),
)


SYSTEM = System(
    "regiment",
    "regiment_app",
    (),
    (
        _variant("redis 1", 4_500, faults=True),
        _variant("redis 100", 120_000, batch=100, faults=True, crowd=True),
        _variant("redis 1,000", 200_000, batch=1000),
        _variant("redis 1, threaded", 3_000, executor="threaded", quick=False),
        _variant("redis 100, threaded", 25_000, batch=100, executor="threaded", quick=False),
        _variant("redis 100, asyncio", 30_000, batch=100, executor="asyncio", quick=False),
        _variant("redis 1, at most once", 4_500, promise=MOST, quick=False, faults=True, delivery="at_most_once"),
        _variant("sqlite 1", 8_000, "sqlite", faults=True),
        _variant("sqlite 100", 80_000, "sqlite", batch=100, crowd=True),
        _variant("mongo 1", 600, "mongo", faults=True),
        _variant("mongo 100", 8_000, "mongo", quick=False, batch=100),
        _coded("json", serializer="json"),
        _coded("pickle", serializer="pickle"),
        *(_coded(name, compressor=name) for name in ("zlib", "gzip", "bzip2", "lzma", "zstd")),
        *(_kept(*pace) for pace in PACES),
        *(_flows(*pace) for pace in PACES),
        *(_beside(*pace) for pace in PACES if pace[0] != "mongo"),
        *(_growth(store) for store in ("redis", "sqlite", "mongo")),
    ),
    commands,
    "killed at its limit, whatever it does",
)
