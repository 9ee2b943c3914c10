"""What this distribution offers."""

from __future__ import annotations

from collections.abc import Mapping

from regiment.hooks import Offer, hookimpl


@hookimpl
def regiment_commands() -> Mapping[str, Offer]:
    """What reads a project of another task queue, and says what changes."""
    return {
        "migrate": Offer("regiment_celery.migrate.commands:command", summary="Move a project of Celery to regiment."),
    }
