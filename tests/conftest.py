"""What every test may use: the folder of the tests on `sys.path` (for `harness`), and a site for trees of workers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from harness import stalls
from harness.lanes import lane
from harness.site import Site


@pytest.fixture(scope="session", autouse=True)
def machine() -> None:
    """Bounds in seconds are bounds in seconds in which the machine ran."""
    stalls.watch()


@pytest.fixture(autouse=True)
def neighbours(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A test that is marked `alone` has no other test of the run beside it."""
    folder = tmp_path_factory.getbasetemp()
    shared = folder.parent if hasattr(request.config, "workerinput") else folder
    with lane(shared, request.node.get_closest_marker("alone") is not None):
        yield


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A store, an application's folder and a ledger; at the end no process of it may be left (P)."""
    with Site(tmp_path, f"sqlite:///{tmp_path}/queue.db") as made:
        yield made
