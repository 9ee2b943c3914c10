"""Django on PostgreSQL: connections and forks, and several relays of one outbox."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SERVER = HERE.parents[1] / "examples/plugins/postgres_connector/tests/postgres_server.py"


def test_a_fork_leaves_the_parents_session_alone_and_relays_share_the_rows_of_an_outbox(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("postgres_server", SERVER)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    try:
        server = module.Server()
    except RuntimeError as error:
        pytest.skip(f"SKIPPED WITHOUT PROOF: {error}")
    try:
        server.start()
        words = [sys.executable, str(HERE / "on_postgres.py"), str(server.folder), f"sqlite:///{tmp_path}/queue.db"]
        told = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    finally:
        server.close()
    assert told.returncode == 0, told.stderr
    assert told.stdout.splitlines() == [
        "child: 0 False",
        "parent: 0 True",
        "relayed: 2000 ready: 2000 left: 0",
    ]
