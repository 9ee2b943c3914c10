"""The hook that plugins have for the end of a burst. Only a worker of `run --burst` asks it, so its spec stands here and not in the
core.
"""

from __future__ import annotations

from typing import Any

from regiment.hooks import hookspec
from regiment.registry import registry
from regiment_cli.hooking import declare


class Specs:
    """Implemented with `@hookimpl(optionalhook=True)`, for where no runner is installed nobody knows the hook."""

    @hookspec
    def regiment_fetch(self, app: Any) -> bool:
        """In a worker of `run --burst` whose queue has nothing left, and which starts no services: push what waits elsewhere for
        this queue. True if there was something, or if that cannot be known yet: then the burst goes on.
        """
        raise NotImplementedError


def fetched(app: Any) -> bool:
    """True if a plugin has brought something, or could not look."""
    base = registry()
    here = base.scope(app.config.plugins)
    for one in (base, here):
        declare(one.pm, Specs, "regiment_fetch")
    return any(call(app) for _, call in here.hooks("regiment_fetch"))
