# mypy: ignore-errors
# Its libraries are in an environment of its own.
"""Addresses of Huey's page."""

from django.contrib import admin
from django.urls import path

urlpatterns = [path("admin/", admin.site.urls)]
