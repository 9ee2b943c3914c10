"""What runs of a task have entered (extra `ledger`)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

NONE: Final[Mapping[str, bytes]] = MappingProxyType({})
"""Of a task none of whose runs has entered anything."""
