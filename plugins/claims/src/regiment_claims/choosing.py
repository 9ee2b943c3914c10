"""Which place a URL names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from regiment_claims.places import Place


def place_of(url: str, options: Mapping[str, Any] | None = None) -> Place:
    """The place of a URL; nothing is opened yet."""
    scheme, _, path = url.partition("://")
    if scheme == "file":
        from regiment_claims.folder import Folder

        return Folder(path)
    from regiment_claims.remote import Remote

    return Remote(url, options or {})
