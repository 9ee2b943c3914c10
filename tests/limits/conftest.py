"""Each store that counts limits, empty. One more store is one more line in `STORES`."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.each_store import Stores
from harness.site import Site

_fresh = itertools.count()

STORES: dict[str, Callable[[Stores, Path], str]] = {
    "memory": lambda stores, folder: f"memory://limits-{next(_fresh)}",
    "sqlite": Stores.sqlite,
    "redis": Stores.redis,
    "mongo": Stores.mongo,
}
"""Name of a store, as it stands in the names of tests, to what gives an empty one: its URL."""

SHARED = [name for name in STORES if name != "memory"]
"""Those that a tree of processes can use."""


@pytest.fixture(params=STORES)
def url(request: pytest.FixtureRequest, stores: Stores, tmp_path: Path) -> str:
    """The URL of an empty store."""
    return STORES[request.param](stores, tmp_path)


@pytest.fixture(params=SHARED)
def store(request: pytest.FixtureRequest, stores: Stores, tmp_path: Path) -> str:
    """The URL of an empty store that processes share."""
    return STORES[request.param](stores, tmp_path)


@pytest.fixture
def site(tmp_path: Path, store: str) -> Iterator[Site]:
    """An empty store, an application's folder and a ledger; at the end no process of it may be left (P)."""
    with Site(tmp_path, store) as made:
        yield made
