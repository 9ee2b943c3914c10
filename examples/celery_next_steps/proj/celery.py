"""The application of the project."""

import os

from regiment_celery import Celery

app = Celery(
    "proj",
    broker=os.environ.get("CELERY_BROKER_URL", "redis://localhost:6379/0"),
    backend=os.environ.get("CELERY_BROKER_URL", "redis://localhost:6379/0"),
    include=["proj.tasks"],
)

app.conf.update(
    result_expires=3600,
    task_routes={"proj.tasks.mul": {"queue": "products"}},
    beat_schedule={
        "count-every-second": {"task": "proj.tasks.count", "schedule": 1.0, "args": ("tick",)},
    },
    timezone="Europe/Berlin",
)

if __name__ == "__main__":
    app.start()
