# mypy: ignore-errors
# Its libraries are in an environment of its own.
"""Huey's page among those of Django's admin: settings, addresses and `manage.py` in one; `fill` fills the store."""

import os
import sys
from pathlib import Path

from huey import RedisHuey

BASE_DIR = Path(__file__).parent
SECRET_KEY = "of a bench"
DEBUG = True
ROOT_URLCONF = "view_huey_pages"
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "huey.contrib.djhuey",
    "huey.contrib.djhuey.stats",
    "view_huey_app",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
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
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "django.db"}}
STATIC_URL = "static/"
HUEY = RedisHuey("mail", url=os.environ["VIEW_STORE"], immediate=False)

if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "view_huey"
    if sys.argv[1:]:
        from django.core.management import execute_from_command_line

        execute_from_command_line(sys.argv)
    else:
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        from django.contrib.auth.models import User

        if not User.objects.exists():
            User.objects.create_superuser("root", password="a bench's")
        from view_huey_app.tasks import send

        for number in range(10):
            send(number)
