# mypy: ignore-errors
# Its libraries are in an environment of its own.
"""RQ: two `rq cron`, and a worker."""

from noted import note
from rq import cron


def tick():
    note()


cron.register(tick, queue_name="ticks", interval=1)
