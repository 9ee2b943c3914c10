"""Each store, empty, as the fault rows have it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.each_store import STORES, Stores


@pytest.fixture
def store(request: pytest.FixtureRequest, stores: Stores, tmp_path: Path) -> str:
    """The URL of an empty store."""
    return STORES[getattr(request, "param", "sqlite")](stores, tmp_path)
