"""In a project of Django: connections that are old or broken are closed before and after each run, as around a request."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from regiment.hooks import hookimpl
from regiment.task import Task


class Connections:
    """The hook around runs."""

    @hookimpl
    def regiment_around_attempt(self, task: Task) -> Any:
        """Close what is old or broken, before and after."""
        return _closing()


@contextmanager
def _closing() -> Iterator[None]:
    close = import_module("django.db").close_old_connections
    close()
    try:
        yield
    finally:
        close()
