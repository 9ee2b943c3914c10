"""One server for all tests of a process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from postgres_server import Server


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    made = Server().start()
    yield made
    made.close()
