"""The SQLite connector sits the examination."""

from __future__ import annotations

from pathlib import Path

import pytest

from garrison.contracts import Connector, Role
from garrison.testing.contracts import ConnectorContract
from garrison.testing.contracts.bench import Open
from garrison_local.local import LocalConnector


class TestLocal(ConnectorContract):
    capabilities = LocalConnector.capabilities

    @pytest.fixture
    def connect(self, tmp_path: Path) -> Open:
        def connect(role: Role) -> Connector:
            connector = LocalConnector(path=str(tmp_path / "store" / "queue.db"))
            connector.open(role)
            return connector

        return connect
