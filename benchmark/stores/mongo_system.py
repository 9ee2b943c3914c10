"""What a no-op task costs on MongoDB in the whole system, beside the best bare at-least-once loop with the driver.

    python -m benchmark.stores.mongo_system [--tasks 3000]

CPU microseconds per task of one supervised worker (all its threads) and of mongod (a replica set of one, started here).
The worker notes both clocks itself, in tasks at the start and the end of what is measured, so that starting costs nothing
here. The bare loop is that of `mongo_connector.py`. `idle` is CPU milliseconds per second of a worker that waits, `wake`
the milliseconds from a push to the first statement of its task.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from benchmark.stores.mongo_connector import Bare, Meter
from harness import mongod
from harness.site import Site

SETTLED = 0.05
"""Seconds in which the worker settles a task and is idle again."""

BODY = """
import json


def cpu(pid):
    fields = open(f"/proc/{pid}/stat", "rb").read().rpartition(b")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@work.task
def nothing(n):
    pass


@work.task
def note(n, server):
    write("N", time.process_time(), cpu(server))


@work.task
def first(n, sent):
    write("F", at() - sent)
"""


def system_cost(server: mongod.Cluster, tasks: int, batch: int) -> tuple[float, float]:
    """CPU µs per task, of the worker and of mongod, at `batch` tasks per exchange."""
    with _site(server, batch) as site:
        pid = server.primary().pid
        site.push_many([{}] * (batch * 2 + 50), task="nothing")
        site.push("note", server=pid)
        site.push_many([{}] * tasks, task="nothing")
        site.push("note", server=pid)
        site.tree()
        books = site.until(lambda books: len(_said(books, "N")) == 2, 300)
        (mine, theirs), (mine_after, theirs_after) = _said(books, "N")
        return (mine_after - mine) * 1e6 / tasks, (theirs_after - theirs) * 1e6 / tasks


def bare_cost(server: mongod.Cluster, tasks: int, batch: int) -> tuple[float, float]:
    """The same of the bare loop."""
    meter = Meter(server.primary().pid)
    with server.primary().client() as client:
        bare = Bare(client, f"b{batch}")
        bare.fill(-(-tasks // 1000) * 1000 + 1000)
        cost: tuple[float, float] = meter(
            (lambda: bare.claim(tasks)) if batch == 1 else (lambda: bare.batch(tasks, batch))
        )
        return cost


def idle_cost(server: mongod.Cluster, seconds: float = 10.0) -> float:
    """CPU ms per second of a worker that waits."""
    with _site(server, 1) as site:
        tree = site.tree()
        site.ended(site.push())
        worker = psutil.Process(tree.workers()[0])
        before, begun = sum(worker.cpu_times()[:2]), time.monotonic()
        time.sleep(seconds)
        used: float = sum(worker.cpu_times()[:2]) - before
        return used * 1000 / (time.monotonic() - begun)


def wake_up(server: mongod.Cluster, pushes: int = 200) -> tuple[float, float]:
    """p50 and p99 of the ms from before a push to the first statement of its task, in an idle worker."""
    with _site(server, 1) as site:
        site.tree()
        site.ended(site.push())
        for n in range(pushes):
            site.push("first", sent=time.clock_gettime_ns(time.CLOCK_BOOTTIME))
            site.until(lambda books, n=n: len(_said(books, "F")) > n, 10)
            time.sleep(SETTLED)
        took = sorted(ns / 1e6 for (ns,) in _said(site.books(), "F"))
        return statistics.median(took), took[int(len(took) * 0.99)]


def _said(books: Any, kind: str) -> list[list[float]]:
    return [[float(word) for word in words] for name, *words in books.words if name == kind]


def _site(server: mongod.Cluster, batch: int) -> Site:
    folder = Path(tempfile.mkdtemp(prefix="regiment-benchmark-"))
    mongod.empty(server.url, "system")
    site = Site(folder, server.at("system"))
    site.app(f"lease=30.0, tasks_per_transaction={batch}", body=BODY)
    return site


def main() -> None:
    """Print the figures, and all of them as JSON in the last line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tasks", type=int, default=3000)
    args = parser.parse_args()
    figures: dict[str, Any] = {}
    with mongod.cluster(replica_set="benchmark") as server:
        for batch, tasks in ((1, args.tasks), (100, args.tasks * 4)):
            ours, bare = system_cost(server, tasks, batch), bare_cost(server, tasks, batch)
            figures[f"batch {batch}"] = sum(ours) / sum(bare)
            print(
                f"batch {batch:3}: worker {ours[0]:7.1f} + mongod {ours[1]:7.1f}, bare {bare[0]:7.1f} + {bare[1]:7.1f} µs,"
                f" ratio {sum(ours) / sum(bare):.2f}",
                flush=True,
            )
        figures["idle"] = idle_cost(server)
        figures["wake"] = wake_up(server)
        print(f"idle {figures['idle']:.2f} ms/s; push to first statement p50 %.1f ms, p99 %.1f ms" % figures["wake"])
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
