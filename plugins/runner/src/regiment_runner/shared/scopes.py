"""The plugins of a queue, in processes that never import its application: from the data that its worker has sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from regiment.config import Use
from regiment.contracts import Connector, Role
from regiment.registry import Registry, registry


def scope_of(spec: Mapping[str, Any]) -> Registry:
    """What the queue of these workers sees, built here."""
    return registry().scope([_one(item) for item in spec.get("plugins", ())])


def connect(spec: Mapping[str, Any], role: Role) -> Connector:
    """A connection to the store that `spec` describes, opened in this role."""
    made: Connector = scope_of(spec).build("connectors", _use(spec))
    made.open(role)
    return made


def _one(item: str | Mapping[str, Any]) -> str | Use:
    return item if isinstance(item, str) else _use(item)


def _use(item: Mapping[str, Any]) -> Use:
    return Use(item["name"], **item["options"])
