"""The store of a queue as one that counts budgets and turns."""

from __future__ import annotations

from typing import cast

from regiment.broker import refuse_without
from regiment.contracts import FLOW, Connector, Flowing
from regiment.registry import registry


def flowing(connector: Connector, wanted: str) -> Flowing:
    """The connector as such a store; `ConfigError`, naming the stores that are, if it is none."""
    refuse_without(FLOW, wanted, connector, registry())
    return cast("Flowing", connector)
