# So that shared_task uses this application.
from .celery import app as celery_app

__all__ = ("celery_app",)
