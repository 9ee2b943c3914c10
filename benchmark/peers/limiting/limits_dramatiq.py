# mypy: ignore-errors
# Its libraries are in an environment of its own.
"""Dramatiq: its limiters raise where there is no room, and the task is retried."""

import dramatiq
import limited
from dramatiq.brokers.redis import RedisBroker
from dramatiq.rate_limits import ConcurrentRateLimiter, WindowRateLimiter
from dramatiq.rate_limits.backends import RedisBackend

dramatiq.set_broker(RedisBroker(url=limited.STORE))
backend = RedisBackend(url=limited.STORE)
RATED = WindowRateLimiter(backend, "rated", limit=limited.RATE, window=1)
SLOT = ConcurrentRateLimiter(backend, "slot", limit=limited.SLOTS)
SOON = {"min_backoff": 100, "max_backoff": 1000, "max_retries": None}


@dramatiq.actor(actor_name="rated", **SOON)
def rated(number, seconds, tenant):
    with RATED.acquire():
        limited.run("rated", number, seconds, tenant)


@dramatiq.actor(actor_name="slot", **SOON)
def slot(number, seconds, tenant):
    with SLOT.acquire():
        limited.run("slot", number, seconds, tenant)


@dramatiq.actor(actor_name="tenant")
def of_tenant(number, seconds, tenant):
    limited.run("tenant", number, seconds, tenant)


TASKS = {"rated": rated, "slot": slot, "tenant": of_tenant}

if __name__ == "__main__":
    limited.main(lambda what, *words: TASKS[what].send(*words))
