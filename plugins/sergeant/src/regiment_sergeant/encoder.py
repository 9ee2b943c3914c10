"""Sergeant's encoder by its module: it gives the choice of regiment's serializer and compressor."""

from __future__ import annotations

from regiment_sergeant import config

__all__ = ["encoder"]


class encoder:  # noqa: N801 - a module of Sergeant's
    """What writes and reads messages."""

    @staticmethod
    def Encoder(compressor_name: str | None, serializer_name: str, key: str | None = None) -> config.Encoder:  # noqa: N802
        """The choice of these."""
        return config.Encoder(compressor=compressor_name, serializer=serializer_name, key=key)
