"""The SQLite connector sits the examination."""

from __future__ import annotations

from pathlib import Path

import pytest

from regiment.contracts import Connector, Role
from regiment_local.local import LocalConnector
from regiment_testing.contracts import ConnectorContract
from regiment_testing.contracts.bench import Open


class TestLocal(ConnectorContract):
    capabilities = LocalConnector.capabilities

    @pytest.fixture
    def connect(self, tmp_path: Path) -> Open:
        def connect(role: Role) -> Connector:
            connector = LocalConnector(path=str(tmp_path / "store" / "queue.db"))
            connector.open(role)
            return connector

        return connect
