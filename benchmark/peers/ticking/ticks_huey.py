# mypy: ignore-errors
# Its libraries are in an environment of its own.
"""Huey: two consumers, each with its scheduler; a crontab has no seconds."""

from huey import RedisHuey, crontab
from noted import STORE, note

huey = RedisHuey("ticks", url=STORE)


@huey.periodic_task(crontab(minute="*"))
def tick():
    note()
