"""Stores that count limits."""

from __future__ import annotations

from typing import cast

from regiment.broker import refuse_without
from regiment.contracts import FLOW, Connector, Flowing
from regiment.registry import registry


def flowing(connector: Connector, wanted: str) -> Flowing:
    """The connector as one that counts budgets and turns; `ConfigError` if it does not."""
    refuse_without(FLOW, wanted, connector, registry())
    return cast("Flowing", connector)
