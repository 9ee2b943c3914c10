"""The memory connector sits the examination."""

from __future__ import annotations

from pathlib import Path

import pytest

from regiment.contracts import Connector, Role
from regiment_local.memory import MemoryConnector
from regiment_testing.contracts import ConnectorContract
from regiment_testing.contracts.bench import Open


class TestMemory(ConnectorContract):
    capabilities = MemoryConnector.capabilities

    @pytest.fixture
    def connect(self, tmp_path: Path) -> Open:
        def connect(role: Role) -> Connector:
            connector = MemoryConnector(name=str(tmp_path))
            connector.open(role)
            return connector

        return connect


def test_stores_of_different_names_are_different() -> None:
    one, two = MemoryConnector("memory:one"), MemoryConnector(name="two")
    one.open("push")
    two.open("push")
    one.push("q", [b"a"], priority=1, token="t")
    assert two.counts("q").ready == 0
    again = MemoryConnector(name="one")
    again.open("look")
    assert again.counts("q").ready == 1
