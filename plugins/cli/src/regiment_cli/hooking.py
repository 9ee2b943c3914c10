"""Hooks whose specs stand outside of the core, with the one that asks them: only where that is installed are they known."""

from __future__ import annotations

from typing import Any


def declare(manager: Any, specs: type, hook: str) -> None:
    """Make the hooks of `specs`, of which `hook` is one, known to this plugin manager, if they are not yet."""
    known = getattr(manager.hook, hook, None)
    if known is None or not known.has_spec():
        manager.add_hookspecs(specs)
