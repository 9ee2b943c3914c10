"""The plugins of a queue, in processes that never import its application: from the data that its worker has sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from regiment.config import Use
from regiment.registry import Registry, registry


def scope_of(spec: Mapping[str, Any]) -> Registry:
    """What the queue of these workers sees, built here."""
    return registry().scope([_one(item) for item in spec.get("plugins", ())])


def _one(item: str | Mapping[str, Any]) -> str | Use:
    return item if isinstance(item, str) else Use(item["name"], **item["options"])
