"""The embedded store, supervised: CPU per no-op task of the whole tree, beside raw sqlite3 in the same run.

    python benchmark/embedded.py [--tasks 20000] [--repeats 3]

A tree of one worker is run in burst mode over N tasks and over none; the difference of the CPU seconds of all its
processes (from getrusage, which counts those that were waited for), divided by N, is the cost of a task.
"""

from __future__ import annotations

import argparse
import os
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from garrison import Timeouts, Worker, WorkerConfig

BATCH = int(os.environ.get("BENCH_BATCH", "1"))
URL = os.environ.get("BENCH_URL", "sqlite:////tmp/garrison-bench.db")
LIMIT = os.environ.get("BENCH_LIMIT")


class Noop(Worker):
    """Does nothing, under a time limit if BENCH_LIMIT says so."""

    config = WorkerConfig(
        "noop",
        connector=URL,
        tasks_per_transaction=BATCH,
        timeouts=Timeouts(float(LIMIT)) if LIMIT else Timeouts(),
    )

    def work(self, task: object) -> None:
        pass


def tree(folder: Path, batch: int, limit: bool) -> float:
    """CPU seconds of a tree that works off what is in the store."""
    env = {**os.environ, "BENCH_BATCH": str(batch), "BENCH_URL": f"sqlite:///{folder}/q.db"}
    if limit:
        env["BENCH_LIMIT"] = "30"
    code = "import sys; from garrison import Supervisor; sys.exit(Supervisor('embedded:Noop', burst=True).run())"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-c", code],
        env=env,
        check=True,
        cwd=Path(__file__).parent,
        stderr=subprocess.DEVNULL,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def consume(tasks: int, batch: int, limit: bool) -> float:
    """CPU µs per task, one by one or in batches."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = Noop.config.replace(connector=f"sqlite:///{folder}/q.db")
        pusher = type("Pusher", (Worker,), {"config": config, "work": lambda self, task: None})
        pusher.push(n=0)
        idle = tree(folder, batch, limit)
        pusher.push_many({"n": i} for i in range(tasks))
        return (tree(folder, batch, limit) - idle) / tasks * 1e6


def push(tasks: int, many: bool) -> float:
    """CPU µs per pushed task."""
    with tempfile.TemporaryDirectory() as name:
        config = Noop.config.replace(connector=f"sqlite:///{name}/q.db")
        pusher = type("Pusher", (Worker,), {"config": config, "work": lambda self, task: None})
        pusher.push(n=0)
        started = time.process_time()
        if many:
            pusher.push_many({"n": i} for i in range(tasks))
        else:
            for i in range(tasks):
                pusher.push(n=i)
        return (time.process_time() - started) / tasks * 1e6


def raw(batch: int, tasks: int, *, pushing: bool) -> float:
    """The same with bare sqlite3: insert at FULL; or settle the last and lease the next in one transaction at NORMAL."""
    with tempfile.TemporaryDirectory() as name:
        db = sqlite3.connect(f"{name}/raw.db", isolation_level=None)
        db.executescript(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
            "CREATE TABLE task (id INTEGER PRIMARY KEY, queue INT, owner INT, payload BLOB);"
            "CREATE INDEX ready ON task (queue, id) WHERE owner IS NULL"
        )
        rows = [(b"x" * 60,)] * batch
        insert = "INSERT INTO task (queue, payload) VALUES (1, ?)"

        def fill() -> float:
            started = time.process_time()
            for _ in range(tasks // batch):
                db.execute("BEGIN IMMEDIATE")
                db.executemany(insert, rows) if batch > 1 else db.execute(insert, rows[0])
                db.execute("COMMIT")
            return (time.process_time() - started) / tasks * 1e6

        if pushing:
            return fill()
        db.execute("PRAGMA synchronous=NORMAL")
        fill()
        lease = (
            "UPDATE task SET owner = 1 WHERE id IN (SELECT id FROM task WHERE queue = 1 AND owner IS NULL "
            "ORDER BY id LIMIT ?) RETURNING id, payload"
        )
        low = high = 0
        started = time.process_time()
        for _ in range(tasks // batch):
            db.execute("BEGIN IMMEDIATE")
            db.execute("DELETE FROM task WHERE id BETWEEN ? AND ?", (low, high))
            held = db.execute(lease, (batch,)).fetchall()
            db.execute("COMMIT")
            low, high = held[0][0], held[-1][0]
        return (time.process_time() - started) / tasks * 1e6


def main() -> None:
    """Print each figure beside its raw loop, as medians of interleaved repeats."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    n = options.tasks
    rows: list[tuple[str, Callable[[], float], Callable[[], float]]] = [
        ("one by one", lambda: consume(n // 4, 1, False), lambda: raw(1, n // 4, pushing=False)),
        ("batches of 100", lambda: consume(n, 100, False), lambda: raw(100, n, pushing=False)),
        (
            "batches of 100, limit armed",
            lambda: consume(n, 100, True),
            lambda: raw(100, n, pushing=False),
        ),
        ("durable push", lambda: push(n // 10, False), lambda: raw(1, n // 10, pushing=True)),
        ("bulk push of 1,000", lambda: push(n * 2, True), lambda: raw(1000, n * 2, pushing=True)),
    ]
    found: dict[str, list[tuple[float, float]]] = {name: [] for name, _, _ in rows}
    for _ in range(options.repeats):
        for name, ours, bare in rows:
            found[name].append((ours(), bare()))
    print(f"{'CPU µs per task':30}{'garrison':>10}{'sqlite3':>10}{'ratio':>8}")
    for name, pairs in found.items():
        ours_, bare_ = (statistics.median(side) for side in zip(*pairs, strict=True))
        print(f"{name:30}{ours_:10.1f}{bare_:10.1f}{ours_ / bare_:8.2f}")


if __name__ == "__main__":
    main()
