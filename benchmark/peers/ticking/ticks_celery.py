# mypy: ignore-errors
# Its libraries are in an environment of its own.
"""Celery: two `celery beat`, each with its own file, and a worker."""

from celery import Celery
from noted import STORE, note

app = Celery("ticks", broker=STORE)
app.conf.broker_connection_retry_on_startup = True
app.conf.beat_schedule = {"tick": {"task": "tick", "schedule": 1.0}}
app.task(name="tick")(note)
