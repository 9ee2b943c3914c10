"""CPU per task of the embedded store, next to raw loops over the same SQLite settings.

    python -m benchmark.stores.local_connector [tasks]

The raw loops do the least that the same promise needs; what is above them is ours to justify. Absolute times drift
from machine to machine and from minute to minute: read the ratios of one run.
"""

from __future__ import annotations

import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from regiment.contracts import Done, Role, Terms
from regiment_local.local import LocalConnector

PAYLOAD = b"x" * 43
MIB = 1 << 20


def raw(path: Path, synchronous: str) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute(f"PRAGMA synchronous = {synchronous}")
    db.execute(
        "CREATE TABLE IF NOT EXISTS tasks (id INTEGER PRIMARY KEY, held INTEGER NOT NULL DEFAULT 0, payload BLOB)"
    )
    db.execute("CREATE INDEX IF NOT EXISTS ready ON tasks (held, id)")
    return db


def raw_push(db: sqlite3.Connection, tasks: int, size: int) -> None:
    for _ in range(tasks // size):
        db.execute("BEGIN IMMEDIATE")
        db.executemany("INSERT INTO tasks (payload) VALUES (?)", [(PAYLOAD,)] * size)
        db.execute("COMMIT")


def raw_work(db: sqlite3.Connection, tasks: int, size: int) -> None:
    first, last = 0, -1
    for _ in range(tasks // size):
        db.execute("BEGIN IMMEDIATE")
        db.execute("DELETE FROM tasks WHERE id BETWEEN ? AND ?", (first, last))
        rows = db.execute(
            """UPDATE tasks SET held = 1 WHERE id IN (SELECT id FROM tasks WHERE held = 0 ORDER BY id LIMIT ?)
               RETURNING id, payload""",
            (size,),
        ).fetchall()
        db.execute("COMMIT")
        first, last = rows[0][0], rows[-1][0]


def opened(path: Path, role: Role) -> LocalConnector:
    connector = LocalConnector(path=str(path))
    connector.open(role)
    return connector


def our_push(connector: LocalConnector, tasks: int, size: int) -> None:
    for n in range(tasks // size):
        connector.push("q", [PAYLOAD] * size, priority=1, token=f"{tasks}-{size}-{n}")


def our_work(connector: LocalConnector, tasks: int, size: int) -> None:
    name = f"c{size}-{tasks}"
    connector.join("q", name, Terms())
    base = 1
    done: list[Done] = []
    for turn in range(1, tasks // size + 1):
        taken = connector.exchange("q", name, turn, base, done, size, 8 * MIB).deliveries
        done = [Done(taken[0].receipt, taken[-1].receipt)]
        base += len(taken)
    connector.exchange("q", name, turn + 1, base, done, 0, 8 * MIB)


def cpu(work: Callable[[], None], tasks: int) -> float:
    """CPU microseconds per task, the best of what was measured here."""
    start = time.process_time()
    work()
    return (time.process_time() - start) / tasks * 1e6


def main() -> None:
    tasks = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    durable = tasks // 20
    print(f"{'CPU µs per task':<34}{'raw':>8}{'regiment':>10}{'ratio':>8}")
    with tempfile.TemporaryDirectory() as folder:
        full, normal = raw(Path(folder, "raw.db"), "FULL"), raw(Path(folder, "raw.db"), "NORMAL")
        path = Path(folder, "store", "queue.db")
        push, lease = opened(path, "push"), opened(path, "lease")
        push.push("q", [PAYLOAD], priority=1, token="warm")
        rounds: list[tuple[str, int, Callable[[], None], Callable[[], None]]] = [
            ("push one, durable", durable, lambda: raw_push(full, durable, 1), lambda: our_push(push, durable, 1)),
            (
                "push 1,000 at once",
                4 * tasks,
                lambda: raw_push(full, 4 * tasks, 1000),
                lambda: our_push(push, 4 * tasks, 1000),
            ),
            (
                "settle and lease, one by one",
                tasks,
                lambda: raw_work(normal, tasks, 1),
                lambda: our_work(lease, tasks, 1),
            ),
            (
                "settle and lease, 100 at once",
                tasks,
                lambda: raw_work(normal, tasks, 100),
                lambda: our_work(lease, tasks, 100),
            ),
            (
                "settle and lease, 1,000 at once",
                tasks,
                lambda: raw_work(normal, tasks, 1000),
                lambda: our_work(lease, tasks, 1000),
            ),
        ]
        for label, count, theirs, ours in rounds:
            before, after = cpu(theirs, count), cpu(ours, count)
            print(f"{label:<34}{before:>8.2f}{after:>10.2f}{after / before:>8.2f}")
        push.close()
        lease.close()


if __name__ == "__main__":
    main()
