"""What a push costs on MongoDB, and how soon a waiting worker has the task: regiment's connector beside bare loops.

    python -m benchmark.stores.mongo_push [--pushes 1000] [--rounds 3]

CPU microseconds of this process and of mongod (a replica set of one, started here) for one push of one task, beside a
bare `insert_one` with majority and journal into the same indexes, and for each task of a push of 1,000, beside
`insert_many`. Then milliseconds from before a push to a claimed task in another process, which waits for it: regiment's
connector, and a bare loop (that insert, a hint into a capped collection, a tailable cursor, `find_one_and_delete`).
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any

from pymongo import CursorType, MongoClient, WriteConcern

from benchmark.stores.mongo_connector import ORDER, PAYLOAD, Cost, Meter
from harness import mongod
from regiment.contracts import Done, Terms
from regiment_mongo.connector import MongoConnector

DURABLE = WriteConcern("majority", j=True)
WAKES = 256 * 1024


class Bare:
    """A producer without regiment: one task or many are inserted with majority and journal, then a hint."""

    def __init__(self, client: MongoClient[dict[str, Any]], name: str) -> None:
        database = client.get_database("bare")
        self.tasks = database.get_collection(name, write_concern=DURABLE)
        self.wakes = database.get_collection("wakes", write_concern=WriteConcern(w=0))
        self.tasks.create_index([("q", 1), *ORDER], partialFilterExpression={"s": {"$exists": True}})
        if "wakes" not in database.list_collection_names():
            database.create_collection("wakes", capped=True, size=WAKES)
            self.wakes.insert_one({"q": "first"})
        self.pushed = 0

    def task(self) -> dict[str, Any]:
        self.pushed += 1
        return {"q": "q", "p": 1, "s": self.pushed, "b": PAYLOAD}

    def push(self, count: int) -> int:
        for _ in range(count):
            self.tasks.insert_one(self.task())
        return count

    def bulk(self, count: int) -> int:
        for _ in range(0, count, 1000):
            self.tasks.insert_many([self.task() for _ in range(1000)], ordered=False)
        return count

    def push_and_tell(self) -> None:
        self.tasks.insert_one(self.task())
        self.wakes.insert_one({"q": "q"})


def push(connector: MongoConnector, count: int, each: int = 1) -> int:
    for _ in range(0, count, each):
        connector.push("q", [PAYLOAD] * each, priority=1, token=os.urandom(8).hex())
    return count


# How soon


def bare_waiter(url: str, name: str, pipe: Connection) -> None:
    """Claim what is announced and say when: one number of nanoseconds for each task."""
    with MongoClient[dict[str, Any]](url) as client:
        bare = Bare(client, name)
        tasks = bare.tasks.with_options(write_concern=WriteConcern(w=1))
        cursor = bare.wakes.find({}, cursor_type=CursorType.TAILABLE_AWAIT)
        seen = 0
        pipe.send(0)
        for _ in cursor:
            while task := tasks.find_one_and_delete({"q": "q", "p": 1, "s": {"$gt": seen}}, sort=ORDER):
                seen = task["s"]
                pipe.send(time.monotonic_ns())


def regiment_waiter(url: str, name: str, pipe: Connection) -> None:
    """The same with a connector: woken, one exchange, until it comes back empty."""
    connector = MongoConnector(url, timeout=30)
    connector.open("lease")
    connector.join("q", name, Terms(lease=600))
    done: list[Done] = []
    turn, base = 0, 1
    while True:
        turn += 1
        taken = connector.exchange("q", name, turn, base, done, 1, 8 << 20)
        now, count = time.monotonic_ns(), len(taken.deliveries)
        done = [Done(base, base + count - 1)] if count else []
        base += count
        if count:
            pipe.send(now)
        else:
            if turn == 1:
                pipe.send(0)
            connector.wait([("q", name)], 60)


def how_soon(
    waiter: Callable[[str, str, Connection], None],
    url: str,
    name: str,
    push: Callable[[], Any],
    pushes: int,
) -> tuple[list[float], list[float]]:
    """Milliseconds from before each push until it was claimed, and until it was acknowledged."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=waiter, args=(url, name, there), daemon=True)
    process.start()
    here.recv()
    claimed, acknowledged = [], []
    for _ in range(pushes):
        time.sleep(0.02)
        begun = time.monotonic_ns()
        push()
        acknowledged.append((time.monotonic_ns() - begun) / 1e6)
        claimed.append((here.recv() - begun) / 1e6)
    process.kill()
    process.join()
    return claimed, acknowledged


def quantiles(values: Sequence[float]) -> tuple[float, float]:
    """p50 and p99."""
    ordered = sorted(values)
    return statistics.median(ordered), ordered[int(len(ordered) * 0.99)]


class Report:
    """Prints each measurement as it is made, and remembers it."""

    def __init__(self) -> None:
        self.found: dict[str, list[float]] = {}

    def cost(self, name: str, mine: Cost, other: Cost) -> None:
        """CPU of client + mongod, and the ratio of their sums."""
        ratio = sum(mine) / sum(other)
        self.found.setdefault(name, []).append(ratio)
        print(
            f"{name:14} regiment {mine[0]:7.1f} + {mine[1]:7.1f}   bare {other[0]:7.1f} + {other[1]:7.1f} µs"
            f"   ratio {ratio:.2f}",
            flush=True,
        )

    def delay(self, name: str, claimed: list[float], acknowledged: list[float]) -> None:
        """Milliseconds to the claim and to the answer."""
        self.found.setdefault(f"{name} ms", []).append(statistics.median(claimed))
        (half, most), (answer, last) = quantiles(claimed), quantiles(acknowledged)
        print(
            f"push to claim  {name:8} p50 {half:.2f} ms, p99 {most:.2f} ms;"
            f" acknowledged after p50 {answer:.2f} ms, p99 {last:.2f} ms",
            flush=True,
        )


def one_round(
    number: int,
    pushes: int,
    server: mongod.Cluster,
    client: MongoClient[dict[str, Any]],
    report: Report,
) -> None:
    meter = Meter(server.members[0].pid)
    connector = MongoConnector(server.url, timeout=30)
    connector.open("push")
    bare = Bare(client, f"b{number}")
    report.cost("push", meter(lambda: push(connector, pushes)), meter(lambda: bare.push(pushes)))
    mine = meter(lambda: push(connector, pushes * 10, 1000))
    report.cost("push of 1,000", mine, meter(lambda: bare.bulk(pushes * 10)))
    connector.purge("q")
    quiet = f"w{number}"
    bare = Bare(client, quiet)
    bare.tasks.delete_many({})
    report.delay(
        "regiment",
        *how_soon(regiment_waiter, server.url, quiet, lambda: push(connector, 1), 300),
    )
    report.delay("bare", *how_soon(bare_waiter, server.url, quiet, bare.push_and_tell, 300))
    connector.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pushes", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    report = Report()
    with mongod.cluster(replica_set="benchmark") as server, server.primary().client() as client:
        for number in range(args.rounds):
            one_round(number, args.pushes, server, client, report)
    medians = {name: statistics.median(values) for name, values in report.found.items()}
    print("median:", "  ".join(f"{name} {value:.2f}" for name, value in medians.items()))


if __name__ == "__main__":
    main()
