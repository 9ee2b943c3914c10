"""Celery's helpers that projects import."""
