"""The application: at the start of the project its tasks are imported, and the system checks registered."""

from __future__ import annotations

from django.apps import AppConfig
from django.core import checks


class RegimentConfig(AppConfig):  # type: ignore[misc]
    """`INSTALLED_APPS = [..., "regiment_django"]`."""

    name = "regiment_django"
    verbose_name = "regiment"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """All models are there: import the tasks."""
        from regiment_django.checks import check_queues, check_setting
        from regiment_django.discovery import discover

        checks.register(check_setting, "regiment")
        checks.register(check_queues, "regiment")
        discover()
