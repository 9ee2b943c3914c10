"""Celery's names, on real workers."""
