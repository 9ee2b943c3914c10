# mypy: ignore-errors
# Its libraries are in an environment of its own.
"""Huey: a rate limit by a counter, and the semaphore of its contrib; where there is no room a task is retried."""

import limited
from huey import RedisHuey
from huey.contrib.helpers import lock_task_semaphore

huey = RedisHuey("limits", url=limited.STORE, results=False)


@huey.task(name="rated", retries=1000, retry_delay=1)
@huey.rate_limit("rated", limit=limited.RATE, per=1)
def rated(number, seconds, tenant):
    limited.run("rated", number, seconds, tenant)


@huey.task(name="slot", retries=1000, retry_delay=1)
@lock_task_semaphore(huey, "slot", limited.SLOTS)
def slot(number, seconds, tenant):
    limited.run("slot", number, seconds, tenant)


@huey.task(name="tenant")
def of_tenant(number, seconds, tenant):
    limited.run("tenant", number, seconds, tenant)


TASKS = {"rated": rated, "slot": slot, "tenant": of_tenant}

if __name__ == "__main__":
    import limits_huey  # its tasks have the name of their module

    limited.main(lambda what, *words: limits_huey.TASKS[what](*words))
