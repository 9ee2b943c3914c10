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

__all__ = [
    "CompressorContract",
    "ConnectorContract",
    "ExecutorContract",
    "ExtensionContract",
    "KillerContract",
    "SerializerContract",
]

_HOME = {
    "ConnectorContract": "connector",
    "SerializerContract": "serializer",
    "CompressorContract": "compressor",
    "ExecutorContract": "executor",
    "ExtensionContract": "extension",
    "KillerContract": "killer",
}

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
    "capable",
    "compressor",
    "connector",
    "effects",
    "examination",
    "executor",
    "extension",
    "following",
    "glancing",
    "hand",
    "joins",
    "keeping",
    "keys",
    "killer",
    "lease",
    "leaving",
    "letters",
    "looking",
    "moving",
    "push",
    "release",
    "sending",
    "serializer",
    "settling",
    "steering",
    "turns",
    "waiting",
):
    pytest.register_assert_rewrite(f"{__name__}.{_name}")


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
