"""One server for all tests of a process, and one more for those that kill it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from postgres_server import Server


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    made = Server().start()
    yield made
    made.close()


@pytest.fixture(scope="session")
def killed_server() -> Iterator[Server]:
    """One that a test may kill; it starts it again."""
    made = Server().start()
    yield made
    made.close()
