# mypy: ignore-errors
# Its libraries are in an environment of its own.
"""Tasks of Dramatiq. Its default limit (10 minutes) is armed; "hang" has its own, in milliseconds.
BENCH_VARIANT results: with the middleware for results, on Redis.
"""

import dramatiq
import tasks
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

broker = RedisBroker(url=tasks.STORE)
KEPT = {}
if tasks.VARIANT == "results":
    broker.add_middleware(Results(backend=RedisBackend(url=tasks.STORE)))
    KEPT = {"store_results": True}
dramatiq.set_broker(broker)
ACTORS = {
    name: dramatiq.actor(
        call,
        actor_name=name,
        **KEPT,
        **({"time_limit": 1000 * tasks.LIMIT, "max_retries": 0} if name == "hang" else {}),
    )
    for name, call in tasks.FUNCTIONS.items()
}


def push(task, numbers, body):
    send = ACTORS[task].send
    for n in numbers:
        send(n, body) if body else send(n)


def get(n):
    return ACTORS["leave"].send(n).get_result(block=True, timeout=60_000)
