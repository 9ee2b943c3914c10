"""What a no-op task costs on MongoDB: regiment's connector beside the best bare loops that the driver allows.

    python -m benchmark.stores.mongo_connector [--tasks 5000] [--rounds 3]
    python -m benchmark.stores.mongo_connector --million [--waiting 1000000] [--delayed 100000]

CPU microseconds per task, of this process and of mongod (a replica set of one, started here; w:1 for claims and
acknowledgments). Two bare at-least-once loops, both with a low-water mark, without fence, turn, notices or due tasks:
"claim" marks a task as taken with find_one_and_update and deletes it when it is done; "batch" copies a batch into one
lease document, deletes the tasks, and deletes the lease document when it is done. The ratio is regiment's sum to the
best bare sum of the same round; the median round is printed last.

`--million`: what a claim costs where so many tasks wait and so many are delayed, beside one where next to none do, in
another database of the same server, in turns; the ratio is that of the medians.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import psutil
from pymongo import MongoClient, WriteConcern

from harness import mongod
from regiment.contracts import Done, Terms
from regiment_mongo.connector import MongoConnector

PAYLOAD = b"x" * 43
Cost = tuple[float, float]
Ratios = dict[str, float]
ORDER = [("p", 1), ("s", 1)]


class Meter:
    """CPU of this process and of mongod."""

    def __init__(self, pid: int) -> None:
        self._server, self._me = psutil.Process(pid), psutil.Process()

    def __call__(self, work: Callable[[], int]) -> tuple[float, float]:
        """Microseconds for each of the tasks that `work` says it did."""
        before = self._now()
        count = work()
        after = self._now()
        return tuple((b - a) * 1e6 / count for a, b in zip(before, after, strict=True))  # type: ignore[return-value]

    def _now(self) -> tuple[float, float]:
        server, me = self._server.cpu_times(), self._me.cpu_times()
        return me.user + me.system, server.user + server.system


def fill(connector: MongoConnector, queue: str, count: int, delay: float = 0) -> int:
    for begin in range(0, count, 1000):
        token = f"{queue}{begin}{time.monotonic_ns()}"
        connector.push(queue, [PAYLOAD] * 1000, priority=1, delay=delay, token=token)
    return count


class Regiment:
    """A consumer that settles the last batch and leases the next."""

    def __init__(self, connector: MongoConnector, queue: str) -> None:
        self.connector, self.queue = connector, queue
        self.turn, self.base = 0, 1
        connector.join(queue, "me", Terms(lease=600))

    def work(self, total: int, batch: int) -> int:
        done: list[Done] = []
        count = 0
        while count < total:
            self.turn += 1
            taken = self.connector.exchange(self.queue, "me", self.turn, self.base, done, batch, 8 << 20)
            got = len(taken.deliveries)
            assert got, "the queue ran dry"
            done = [Done(self.base, self.base + got - 1)]
            self.base += got
            count += got
        self.turn += 1
        self.connector.exchange(self.queue, "me", self.turn, self.base, done, 0, 8 << 20)
        return count


class Bare:
    """The same without regiment."""

    def __init__(self, client: MongoClient[dict[str, Any]], name: str) -> None:
        database = client.get_database("bare", write_concern=WriteConcern(w=1))
        self.tasks, self.leases = database[name], database[name + ".leases"]
        self.tasks.create_index([("q", 1), *ORDER], partialFilterExpression={"s": {"$exists": True}})
        self.mark = self.pushed = 0

    def fill(self, count: int) -> None:
        for _ in range(0, count, 1000):
            self.tasks.insert_many(
                [{"q": "q", "p": 1, "s": self.pushed + i, "b": PAYLOAD} for i in range(1000)],
                ordered=False,
            )
            self.pushed += 1000

    def claim(self, total: int) -> int:
        for _ in range(total):
            query = {"q": "q", "p": 1, "s": {"$gte": self.mark}}
            task = self.tasks.find_one_and_update(query, {"$set": {"o": "me"}, "$unset": {"s": 1}}, sort=ORDER)
            assert task is not None
            self.mark = task["s"]
            self.tasks.delete_one({"_id": task["_id"]})
        return total

    def batch(self, total: int, size: int) -> int:
        count = 0
        while count < total:
            query = {"q": "q", "p": 1, "s": {"$gte": self.mark}}
            tasks = list(self.tasks.find(query, sort=ORDER, limit=-size, batch_size=size))
            lease = self.leases.insert_one({"tasks": tasks}).inserted_id
            self.tasks.delete_many({"_id": {"$in": [task["_id"] for task in tasks]}})
            self.leases.delete_one({"_id": lease})
            self.mark = tasks[-1]["s"]
            count += len(tasks)
        return count


def one_round(
    number: int,
    tasks: int,
    meter: Meter,
    connector: MongoConnector,
    client: MongoClient[dict[str, Any]],
) -> Ratios:
    """Fill both, work both off in turn; each measurement is printed as it is made."""
    few, many = tasks, tasks * 4
    queue = f"q{number}"
    bare, ours = Bare(client, f"b{number}"), Regiment(connector, queue)
    found: Ratios = {}

    def report(name: str, mine: Cost, other: Cost, what: str = "bare") -> None:
        found[name] = sum(mine) / sum(other)
        print(
            f"{name:22} regiment {mine[0]:7.1f} + {mine[1]:7.1f}   {what} {other[0]:7.1f} + {other[1]:7.1f}"
            f"   ratio {found[name]:.2f}",
            flush=True,
        )

    push = meter(lambda: fill(connector, queue, 10_000))
    print(f"push 1,000 a call      regiment {push[0]:7.1f} + {push[1]:7.1f}")
    found["push client"] = push[0]
    fill(connector, queue, 2 * few + many + 45_000)
    bare.fill(few + many + 5000)
    head = meter(lambda: ours.work(few, 1))
    report("one by one", head, meter(lambda: bare.claim(few)))
    report("batch 100", meter(lambda: ours.work(many, 100)), meter(lambda: bare.batch(many, 100)))
    ours.work(50_000, 1000)
    report("after 50,000 removals", meter(lambda: ours.work(few, 1)), head, "before")
    return found


def million(tasks: int, rounds: int, waiting: int, delayed: int, meter: Meter, url: str) -> Ratios:
    """Fill one database, keep the other almost empty, and claim from both in turn."""

    def opened(database: str) -> MongoConnector:
        connector = MongoConnector(url, database=database, timeout=30)
        connector.open("lease")
        return connector

    few, many = opened("few"), opened("many")
    fill(many, "q", waiting)
    fill(many, "q", delayed, delay=86_400)
    counts = many.counts("q")
    print(f"waiting {counts.ready:,}, delayed {counts.delayed:,}", flush=True)
    little, much = Regiment(few, "q"), Regiment(many, "q")
    found: Ratios = {}
    for name, batch, each in (("one by one", 1, tasks), ("batch 100", 100, tasks * 4)):
        costs: tuple[list[float], list[float]] = ([], [])
        for _ in range(rounds):
            fill(few, "q", each)
            for consumer, sums in zip((little, much), costs, strict=True):
                sums.append(sum(meter(lambda: consumer.work(each, batch))))  # noqa: B023
        almost_empty, full = map(statistics.median, costs)
        found[name] = full / almost_empty
        print(
            f"{name:12} almost empty {almost_empty:7.1f}   full {full:7.1f}   ratio {found[name]:.2f}",
            flush=True,
        )
    for connector in (few, many):
        connector.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tasks", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--million", action="store_true", help="claims where many tasks wait")
    parser.add_argument("--waiting", type=int, default=1_000_000)
    parser.add_argument("--delayed", type=int, default=100_000)
    args = parser.parse_args()
    with mongod.cluster(replica_set="benchmark") as server:
        meter = Meter(server.members[0].pid)
        if args.million:
            million(args.tasks, args.rounds, args.waiting, args.delayed, meter, server.url)
            return
        with server.primary().client() as client:
            connector = MongoConnector(server.url, timeout=30)
            connector.open("lease")
            rounds = [one_round(n, args.tasks, meter, connector, client) for n in range(args.rounds)]
            connector.close()
    medians = {name: statistics.median(found[name] for found in rounds) for name in rounds[0]}
    print("median:", "  ".join(f"{name} {value:.2f}" for name, value in medians.items()))


if __name__ == "__main__":
    main()
