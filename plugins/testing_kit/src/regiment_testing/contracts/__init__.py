"""The examinations: what a part of each kind promises, as pytest classes to subclass with one fixture.

from regiment_testing.contracts import ConnectorContract

class TestMine(ConnectorContract):
    capabilities = MyConnector.capabilities

    @pytest.fixture
    def connect(self, tmp_path):
        def connect(role):
            connector = MyConnector(path=tmp_path / "store")
            connector.open(role)
            return connector
        return connect
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from regiment import lazily

__all__ = [
    *lazily(
        globals(),
        {
            one: f"{one.title()}Contract"
            for one in ("compressor", "connector", "executor", "extension", "killer", "serializer")
        },
    )
]

if TYPE_CHECKING:
    from regiment_testing.contracts.compressor import CompressorContract as CompressorContract
    from regiment_testing.contracts.connector import ConnectorContract as ConnectorContract
    from regiment_testing.contracts.executor import ExecutorContract as ExecutorContract
    from regiment_testing.contracts.extension import ExtensionContract as ExtensionContract
    from regiment_testing.contracts.killer import KillerContract as KillerContract
    from regiment_testing.contracts.serializer import SerializerContract as SerializerContract

# A failed check shows the values that it compared, also in modules that pytest did not collect.
for _name in (
    "acting",
    "applying",
    "bench",
    "budgets",
    "capable",
    "charged",
    "compressor",
    "connector",
    "effects",
    "entering",
    "examination",
    "executor",
    "extension",
    "flowing",
    "following",
    "gating",
    "glancing",
    "hand",
    "joins",
    "keeping",
    "keyed",
    "keys",
    "killer",
    "lease",
    "leaving",
    "letters",
    "looking",
    "model",
    "moving",
    "programs",
    "push",
    "recording",
    "release",
    "replacing",
    "sending",
    "serializer",
    "settling",
    "standing",
    "steering",
    "turning",
    "turns",
    "waiting",
):
    pytest.register_assert_rewrite(f"{__name__}.{_name}")
