"""The typed way to choose this connector: `connector=Mongo(url="mongodb://…")`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from regiment import Use


def Mongo(  # noqa: N802
    url: str | None = None,
    *,
    nodes: Sequence[str | Mapping[str, Any]] | None = None,
    database: str | None = None,
    prefix: str = "regiment",
    write_concern: str = "majority",
    spread: str = "push",
    timeout: float = 2.0,
) -> Use:
    """The connector "mongo" with these options; `MongoConnector` tells what they mean."""
    options = {"url": url, "nodes": nodes, "database": database}
    given = {name: value for name, value in options.items() if value is not None}
    usual = {"prefix": prefix, "write_concern": write_concern, "spread": spread, "timeout": timeout}
    return Use("mongo", **usual, **given)
