"""Settings of the project."""

import os
from pathlib import Path

from regiment_celery.schedules import crontab

FOLDER = Path(os.environ.get("SITE_FOLDER", "."))
SECRET_KEY = "only for this example"  # noqa: S105
INSTALLED_APPS = ["greetings"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": FOLDER / "site.db"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True

CELERY_BROKER_URL = os.environ.get("CELERY_BROKER_URL", "redis://localhost:6379/0")
CELERY_RESULT_BACKEND = CELERY_BROKER_URL
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_TIME_LIMIT = 30
CELERY_TIMEZONE = "Europe/Berlin"
CELERY_BEAT_SCHEDULE = {
    "monday-morning": {
        "task": "greetings.tasks.greet",
        "schedule": crontab(hour=7, minute=30, day_of_week=1),
        "args": ("all",),
    },
}
