# mypy: ignore-errors
# Its libraries are in an environment of its own.
"""APScheduler 4: two schedulers that share a data store in MongoDB; each also runs jobs."""

import sys

from apscheduler import ConflictPolicy, Scheduler, current_job
from apscheduler.datastores.mongodb import MongoDBDataStore
from apscheduler.triggers.interval import IntervalTrigger
from noted import STORE, note
from pymongo import MongoClient


def tick():
    due = current_job.get().scheduled_fire_time
    note(None if due is None else due.timestamp())


if __name__ == "__main__":
    sys.modules["ticks_apscheduler"] = sys.modules["__main__"]
    tick.__module__ = "ticks_apscheduler"
    with Scheduler(MongoDBDataStore(MongoClient(STORE))) as scheduler:
        scheduler.add_schedule(tick, IntervalTrigger(seconds=1), id="tick", conflict_policy=ConflictPolicy.do_nothing)
        scheduler.run_until_stopped()
