# mypy: ignore-errors
# Its libraries are in an environment of its own.
"""Tasks of Dramatiq. Its default limit (10 minutes) is armed; "hang" has its own, in milliseconds.
BENCH_VARIANT results: with the middleware for results, on Redis.
"""

import dramatiq
import tasks
from dramatiq import group, pipeline
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import GroupCallbacks
from dramatiq.rate_limits.backends import RedisBackend as Limits
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

broker = RedisBroker(url=tasks.STORE)
KEPT = {}
if tasks.VARIANT == "results":
    broker.add_middleware(Results(backend=RedisBackend(url=tasks.STORE)))
    broker.add_middleware(GroupCallbacks(Limits(url=tasks.STORE)))
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


def chain(first, count):
    pipeline([ACTORS["link"].message(n) for n in range(first, first + count)]).run()


def chord(first, count):
    members = group([ACTORS["link"].message(n) for n in range(first, first + count)])
    members.add_completion_callback(ACTORS["gather"].message(first + count))
    members.run()
