"""What every test may use: the folder of the tests on `sys.path` (for `harness`), and a site for trees of workers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from harness import stalls
from harness.site import Site


@pytest.fixture(scope="session", autouse=True)
def machine() -> None:
    """Bounds in seconds are bounds in seconds in which the machine ran."""
    stalls.watch()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A store, an application's folder and a ledger; at the end no process of it may be left (P)."""
    with Site(tmp_path, f"sqlite:///{tmp_path}/queue.db") as made:
        yield made
