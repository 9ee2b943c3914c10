"""Settings of the shop. Its data and its tasks are files in SHOP_FOLDER, or beside manage.py."""

import os
from pathlib import Path

from regiment import Backoff
from regiment_results import Results

FOLDER = Path(os.environ.get("SHOP_FOLDER", Path(__file__).parent.parent))
SECRET_KEY = "only for the example"  # noqa: S105
DEBUG = True
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "project.urls"
INSTALLED_APPS = ["shop", "django_tasks", "regiment_django"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": FOLDER / "shop.db",
        "OPTIONS": {"timeout": 20, "transaction_mode": "IMMEDIATE"},
        "TEST": {"NAME": FOLDER / "test.db"},
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True

REGIMENT = {
    "connector": f"sqlite:///{FOLDER}/queue.db",
    "queues": {"mail": {"max_retries": 5, "backoff": Backoff(first=0.2)}},
}
TASKS = {
    "default": {
        "BACKEND": "regiment_django.backend.RegimentBackend",
        "QUEUES": ["default"],
        "OPTIONS": {"plugins": [Results(ttl=3600)]},
    }
}
