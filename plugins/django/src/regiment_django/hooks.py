"""What this distribution offers."""

from __future__ import annotations

import os
from collections.abc import Mapping

from regiment.hooks import Offer, hookimpl


@hookimpl
def regiment_extensions() -> Mapping[str, Offer]:
    """What a queue of Django names; `regiment_django.Queue` does."""
    return {
        "django": Offer(
            "regiment_django.extension:InDjango", summary="Waits for commits, closes connections, relays an outbox."
        )
    }


@hookimpl
def regiment_loading(target: str) -> None:
    """Set Django up before a module of a project of Django is imported."""
    if os.environ.get("DJANGO_SETTINGS_MODULE"):
        from regiment_django.discovery import set_up

        set_up()
