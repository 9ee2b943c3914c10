"""Shops on each store: the application in the `shop.py` beside a test, and workers that run it as real processes.

A `conftest.py` beside it imports the three fixtures.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from harness.each_store import STORES, Stores


class Shop:
    """One store with the application on it."""

    def __init__(self, folder: Path, url: str, home: Path) -> None:
        self.folder, self.url, self.home = folder, url, home
        self.app = self._load()
        self.queue: Any = self.app.shop
        self._trees: list[subprocess.Popen[bytes]] = []

    def _load(self) -> ModuleType:
        os.environ["STORE"] = self.url
        spec = importlib.util.spec_from_file_location("shop", self.home / "shop.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    def run(self, workers: int = 1, **environment: str) -> subprocess.Popen[bytes]:
        """Start workers; returns when they are ready."""
        log = self.folder / f"run-{len(self._trees)}.log"
        runtime = self.folder / "runtime"
        runtime.mkdir(mode=0o700, exist_ok=True)
        variables = {**os.environ, "STORE": self.url, "REGIMENT_TEST_LEASES": "1", "XDG_RUNTIME_DIR": str(runtime)}
        with log.open("wb") as out:
            tree = subprocess.Popen(
                [sys.executable, "-m", "regiment", "run", f"shop:shop={workers}", "--app-dir", str(self.home)],
                stdout=out,
                stderr=out,
                env={**variables, **environment},
                start_new_session=True,
            )
        self._trees.append(tree)
        deadline = time.monotonic() + 40
        while b"worker.ready" not in log.read_bytes():
            assert tree.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        return tree

    def logged(self) -> str:
        """What its workers have said."""
        return "".join(path.read_text() for path in sorted(self.folder.glob("run-*.log")))

    def close(self) -> None:
        """End its workers."""
        self.queue.broker.close()
        for tree in self._trees:
            if tree.poll() is None:
                tree.terminate()
        for tree in self._trees:
            try:
                tree.wait(30)
            except subprocess.TimeoutExpired:
                tree.kill()
                tree.wait()


@pytest.fixture(params=list(STORES))
def shop(request: pytest.FixtureRequest, stores: Stores, tmp_path: Path) -> Iterator[Shop]:
    give: Callable[[Stores, Path], str] = STORES[request.param]
    made = Shop(tmp_path, give(stores, tmp_path), request.path.parent)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def local(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    """A shop on SQLite, for what does not depend on the store."""
    made = Shop(tmp_path, f"sqlite:///{tmp_path}/queue.db", request.path.parent)
    try:
        yield made
    finally:
        made.close()
