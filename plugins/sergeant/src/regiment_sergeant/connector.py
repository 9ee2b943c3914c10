"""Sergeant's connectors by their modules: each gives the choice of regiment's connector of that name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from regiment import Lock
from regiment_sergeant import config

__all__ = ["Lock", "local", "mongo", "redis"]


class redis:  # noqa: N801 - a module of Sergeant's
    """Redis, on one node or several."""

    Lock = Lock

    @staticmethod
    def Connector(nodes: Sequence[Mapping[str, Any]]) -> config.Connector:  # noqa: N802
        """The choice of these nodes."""
        return config.Connector(type="redis", params={"nodes": list(nodes)})


class mongo:  # noqa: N801
    """MongoDB, on one node or several."""

    Lock = Lock

    @staticmethod
    def Connector(nodes: Sequence[Mapping[str, Any]]) -> config.Connector:  # noqa: N802
        """The choice of these nodes."""
        return config.Connector(type="mongo", params={"nodes": list(nodes)})


class local:  # noqa: N801
    """An SQLite file."""

    Lock = Lock

    @staticmethod
    def Connector(file_path: str) -> config.Connector:  # noqa: N802
        """The choice of this file."""
        return config.Connector(type="local", params={"file_path": file_path})
