"""A volume that the embedded file's own log fills: once nobody reads from the log any more, it goes on by itself."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from regiment.config import as_use
from regiment.contracts import Connector
from regiment.errors import QueueFull, StoreUnavailable
from regiment.registry import registry


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB; only root may have one."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", tmp_path], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"SKIPPED WITHOUT PROOF: no small volume: {mounted.stderr.decode().strip()}")
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


def fill(store: Connector, name: str, times: int) -> int:
    """Push and purge so often; returns how often it could be done."""
    done = 0
    for number in range(times):
        try:
            store.push("q", [b"x" * 1000] * 200, priority=1, token=f"{name}{number}")
            store.purge("q")
            done += 1
        except (QueueFull, StoreUnavailable) as error:
            assert "no room on the disk" in str(error)
    return done


def test_a_log_that_filled_its_volume_is_emptied_as_soon_as_nobody_reads_from_it(
    volume: Path,
) -> None:
    store: Connector = registry().build("connectors", as_use(f"sqlite:///{volume}/queue.db"))
    store.open("push")
    store.push("q", [b"x" * 1000] * 500, priority=1, token="first")
    store.purge("q")
    store._database.handle.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # type: ignore[attr-defined]
    reader = sqlite3.connect(volume / "queue.db")
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM tasks").fetchone()
    assert fill(store, "b", 40) < 40
    reader.close()
    fill(store, "c", 1)  # the first one may be refused, and makes room
    assert fill(store, "d", 5) == 5
    store.close()
