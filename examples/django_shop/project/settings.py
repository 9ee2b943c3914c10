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
INSTALLED_APPS = [
    "shop",
    "django_tasks",
    "regiment_django",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
STATIC_URL = "/static/"
LOGIN_URL = "admin:login"
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
