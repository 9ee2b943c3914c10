"""The queues of the Tasks framework, as a target: `regiment run regiment_django.tasks`, or `regiment_django.tasks:default`."""

from __future__ import annotations

import re as _re

from django.conf import settings as _settings


def _queues() -> dict[str, object]:
    """Name -> queue of all backends that are regiment's; of one that two backends name, the first."""
    configured = getattr(_settings, "TASKS", None) or {}
    ours = [alias for alias, params in configured.items() if "regiment" in str(params.get("BACKEND", ""))]
    if not ours:
        return {}
    from regiment_django.backend import RegimentBackend
    from regiment_django.framework import task_backends

    found: dict[str, object] = {}
    for alias in ours:
        backend = task_backends[alias]
        if isinstance(backend, RegimentBackend):
            for name in sorted(backend.queues):
                found.setdefault(name, backend.queue(name))
    return found


globals().update({_re.sub(r"\W", "_", _name).lstrip("_"): _queue for _name, _queue in _queues().items()})
