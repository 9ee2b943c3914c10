"""Each store, empty, as the fault rows have it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.each_store import STORES, Stores


@pytest.fixture(scope="module")
def stores() -> Iterator[Stores]:
    """The servers that tests of this module share."""
    made = Stores()
    yield made
    made.close()


@pytest.fixture
def store(request: pytest.FixtureRequest, stores: Stores, tmp_path: Path) -> str:
    """The URL of an empty store."""
    return STORES[getattr(request, "param", "sqlite")](stores, tmp_path)
