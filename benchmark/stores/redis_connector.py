"""The Redis connector beside a bare loop: CPU µs per task, client and server, and their ratio.

    python -m benchmark.stores.redis_connector [--tasks 20000] [--rounds 3]

The bare loop does everything but the framework: decode, task object, note and deadline into shared memory, call, finished
mark; one script checks the fence, settles all, looks for due tasks and leases the next. The connector's loop differs in
`RedisConnector.exchange` only. Both run in turn against the same server in one process; the median round counts.
"""

from __future__ import annotations

import argparse
import statistics
import time

from benchmark.stores.redis_system import QUEUE, Bare, Cost, Page, cpu, record, run_one
from harness.servers import RedisServer, redis
from regiment.contracts import Done, Terms
from regiment_redis.connector import RedisConnector


def connector_loop(store: RedisConnector, consumer: str, batch: int, page: Page) -> int:
    turn, base, settlements, done = 0, 1, list[Done](), 0
    while True:
        turn += 1
        taken = store.exchange(QUEUE, consumer, turn, base, settlements, batch, 8 << 20)
        if not taken.deliveries:
            return done
        for delivery in taken.deliveries:
            run_one(page, delivery.receipt, delivery.payload)
            done += 1
        settlements = [Done(base, base + len(taken.deliveries) - 1)]
        base += len(taken.deliveries)


def ours(server: RedisServer, store: RedisConnector, tasks: int, batch: int, page: Page) -> Cost:
    """Work off so many tasks with `exchange`, as a consumer that has just joined."""
    for start in range(0, tasks, 1000):
        payloads = [record(i) for i in range(start, start + 1000)]
        store.push(QUEUE, payloads, priority=1, token=f"{batch}.{time.monotonic_ns()}")
    consumer = f"{time.monotonic_ns()}"
    store.join(QUEUE, consumer, Terms())
    on_server, client, wall = cpu(server.pid), time.process_time(), time.perf_counter()
    done = connector_loop(store, consumer, batch, page)
    client, wall = time.process_time() - client, time.perf_counter() - wall
    on_server = cpu(server.pid) - on_server
    assert done == tasks
    store.release(QUEUE, consumer, [], {}, close=True)
    return Cost(client / done * 1e6, on_server / done * 1e6, done / wall)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--tasks", type=int, default=20_000)
    options.add_argument("--rounds", type=int, default=5)
    chosen = options.parse_args()
    with redis() as server:
        store = RedisConnector(server.url)
        store.open("push")
        loop = Bare(server)
        print("exchange, CPU us per task     bare client/server    connector client/server    ratio")
        for batch in (1, 100, 1000):
            tasks = chosen.tasks if batch == 1 else chosen.tasks * 10
            rows = [
                (loop.run(tasks, batch), ours(server, store, tasks, batch, loop.page)) for _ in range(chosen.rounds)
            ]
            b, o = (Cost(*map(statistics.median, zip(*costs, strict=True))) for costs in zip(*rows, strict=True))
            print(
                f"{f'batch {batch}':<28}{b.client:>9.2f} /{b.server:>7.2f}{o.client:>16.2f} /{o.server:>7.2f}"
                f"{o.client / b.client:>15.2f} /{o.server / b.server:>5.2f}    {b.rate:,.0f} -> {o.rate:,.0f} tasks/s"
            )
        store.close()


if __name__ == "__main__":
    main()
