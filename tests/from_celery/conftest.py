"""Projects with the names of Celery, and workers that run them as real processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.each_store import STORES, Stores


class Project:
    """A folder with a project, a store, and the workers that serve it."""

    def __init__(self, folder: Path, home: Path, url: str) -> None:
        self.folder, self.home, self.url = folder, home, url
        runtime = folder / "runtime"
        runtime.mkdir(mode=0o700, exist_ok=True)
        left = {key: value for key, value in os.environ.items() if not key.startswith(("REGIMENT", "DJANGO", "CELERY"))}
        self.variables = {
            **left,
            "CELERY_BROKER_URL": url,
            "XDG_RUNTIME_DIR": str(runtime),
            "REGIMENT_TEST_LEASES": "1",
            "SITE_FOLDER": str(folder),
            "OUTBOX": str(folder / "outbox.txt"),
        }
        self._trees: list[subprocess.Popen[bytes]] = []

    def python(self, *words: str, code: int = 0) -> str:
        """What a program of the project prints."""
        told = subprocess.run(
            [sys.executable, *words],
            cwd=self.home,
            env=self.variables,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert told.returncode == code, told.stderr + told.stdout + self.logged()
        return told.stdout

    def regiment(self, *words: str, code: int = 0) -> str:
        """What a command prints."""
        return self.python("-m", "regiment", *words, code=code)

    def run(self, target: str, queues: int = 1) -> None:
        """Start workers; returns when each queue has one that is ready."""
        log = self.folder / f"run-{len(self._trees)}.log"
        with log.open("wb") as out:
            command = [sys.executable, "-m", "regiment", "run", target]
            tree = subprocess.Popen(
                command, cwd=self.home, stdout=out, stderr=out, env=self.variables, start_new_session=True
            )
        self._trees.append(tree)
        deadline = time.monotonic() + 60
        while log.read_bytes().count(b"worker.ready") < queues:
            assert tree.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)

    def logged(self) -> str:
        """What its workers have said."""
        return "".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("run-*.log")))

    def close(self) -> None:
        """End its workers."""
        for tree in self._trees:
            tree.terminate()
        for tree in self._trees:
            try:
                tree.wait(30)
            except subprocess.TimeoutExpired:
                tree.kill()
                tree.wait()


@pytest.fixture(params=list(STORES))
def url(request: pytest.FixtureRequest, stores: Stores, tmp_path: Path) -> str:
    """An empty store, of each kind."""
    return STORES[request.param](stores, tmp_path)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """An empty project on SQLite."""
    home = tmp_path / "home"
    home.mkdir()
    made = Project(tmp_path, home, f"sqlite:///{tmp_path}/queue.db")
    yield made
    made.close()
