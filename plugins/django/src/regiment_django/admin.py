"""In Django's admin: one line that leads to the dashboard, for who may open it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponseRedirect

from regiment_django import conf
from regiment_django.dashboard import may_look
from regiment_django.models import Dashboard


@admin.register(Dashboard)
class DashboardAdmin(admin.ModelAdmin):  # type: ignore[misc]
    """A link; there is nothing to add, change or delete."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        """True for who may open the dashboard."""
        return may_look(request.user)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """True for who may open the dashboard."""
        return may_look(request.user)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Never."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponseRedirect:
        """Go to the dashboard."""
        return HttpResponseRedirect(conf.dashboard())
