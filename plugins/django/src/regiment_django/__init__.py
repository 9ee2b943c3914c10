"""regiment in Django: pushes that wait for the commit, an outbox in your database, a backend for `django.tasks`.

INSTALLED_APPS = [..., "regiment_django"]

mail = Queue("mail")        # in an application's tasks.py
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from regiment_django.choice import Django as Django
    from regiment_django.choice import Queue as Queue

__all__ = ["Django", "Queue"]


def __getattr__(name: str) -> Any:
    """Loaded when it is first used: a keeper needs none of it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f"{__name__}.choice"), name)
    return found
