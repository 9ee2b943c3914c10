"""The store under a fault test: SQLite, unless the test is marked `on_each_store`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.each_store import STORES, Stores
from harness.scale import FULL
from harness.site import Site


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Whole trees on MongoDB run with `make faults` only, or where they are asked for by name (`-k mongo`): there each
    needs seconds to start, and not all rows hold yet on a loaded machine.
    """
    if FULL or "mongo" in config.getoption("keyword"):
        return
    left = [item for item in items if "mongo" in item.nodeid]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]


@pytest.fixture(scope="session")
def stores() -> Iterator[Stores]:
    """The servers that tests of this process share."""
    made = Stores()
    yield made
    made.close()


@pytest.fixture
def store(request: pytest.FixtureRequest, stores: Stores, tmp_path: Path) -> str:
    """The URL of an empty store."""
    return STORES[getattr(request, "param", "sqlite")](stores, tmp_path)


@pytest.fixture
def site(tmp_path: Path, store: str) -> Iterator[Site]:
    """An empty store, an application's folder and a ledger; at the end no process of it may be left (P)."""
    with Site(tmp_path, store) as made:
        yield made
