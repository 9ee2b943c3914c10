"""A project with two databases, files in `DEPOT_FOLDER`, and its tasks in a store beside them."""

from __future__ import annotations

import os

from regiment import Backoff, Use
from regiment_results import Results

FOLDER = os.environ["DEPOT_FOLDER"]
SECRET_KEY = "of no use"
USE_TZ = True
INSTALLED_APPS = ["depot", "django_tasks", "regiment_django"]
DATABASES = {
    alias: {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{FOLDER}/{alias}.db", "OPTIONS": {"timeout": 20}}
    for alias in ("default", "other")
}
STORE: str | Use = os.environ.get("DEPOT_STORE", f"sqlite:///{FOLDER}/queue.db")
if "DEPOT_ORDERS" in os.environ:
    STORE = Use("regiment_testing.faults:Faulty", wrapped=STORE, orders=os.environ["DEPOT_ORDERS"])
REGIMENT = {
    "connector": STORE,
    "defaults": {"push_timeout": 20},
    "outbox": os.environ.get("DEPOT_OUTBOX"),
    "queues": {"parcels": {"max_retries": 2, "backoff": Backoff(first=0.02)}},
}
TASKS = {
    "default": {
        "BACKEND": "regiment_django.backend.RegimentBackend",
        "QUEUES": ["default", "slow-ones"],
        "OPTIONS": {"plugins": [Results(ttl=600)]},
    },
}
