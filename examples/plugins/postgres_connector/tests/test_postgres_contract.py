"""PostgresConnector sits the examination: every promise of `regiment.contracts.Connector` is a test here."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest
from postgres_server import Server
from regiment_postgres.connector import PostgresConnector

from regiment.contracts import Role
from regiment_testing.contracts import ConnectorContract

_schemas = count()


class TestPostgresConnector(ConnectorContract):
    capabilities = PostgresConnector.capabilities

    @pytest.fixture
    def connect(self, server: Server) -> Callable[[Role], PostgresConnector]:
        schema = f"check{next(_schemas)}"

        def connect(role: Role) -> PostgresConnector:
            connector = PostgresConnector(server.url, schema=schema)
            connector.open(role)
            return connector

        return connect
