# mypy: ignore-errors
# Its libraries are in an environment of its own.
"""Taskiq: two `taskiq scheduler`, and a worker."""

from noted import STORE, note
from taskiq import TaskiqScheduler
from taskiq.schedule_sources import LabelScheduleSource
from taskiq_redis import ListQueueBroker

broker = ListQueueBroker(STORE)


@broker.task(task_name="tick", schedule=[{"interval": 1}])
async def tick():
    note()


scheduler = TaskiqScheduler(broker, [LabelScheduleSource(broker)])
