# mypy: ignore-errors
# Its libraries are in an environment of its own.
"""Tasks of Dramatiq. Its default limit (10 minutes) is armed; "hang" has its own, in milliseconds."""

import dramatiq
import tasks
from dramatiq.brokers.redis import RedisBroker

broker = RedisBroker(url=tasks.STORE)
dramatiq.set_broker(broker)
ACTORS = {
    name: dramatiq.actor(
        call,
        actor_name=name,
        **({"time_limit": 1000 * tasks.LIMIT, "max_retries": 0} if name == "hang" else {}),
    )
    for name, call in tasks.FUNCTIONS.items()
}


def push(task, numbers, body):
    send = ACTORS[task].send
    for n in numbers:
        send(n, body) if body else send(n)
