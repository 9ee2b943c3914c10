"""Django on PostgreSQL: connections and forks, and several relays of one outbox."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from harness.postgres import postgres

HERE = Path(__file__).parent


def test_a_fork_leaves_the_parents_session_alone_and_relays_share_the_rows_of_an_outbox(tmp_path: Path) -> None:
    with postgres() as server:
        words = [sys.executable, str(HERE / "on_postgres.py"), str(server.folder), f"sqlite:///{tmp_path}/queue.db"]
        told = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert told.returncode == 0, told.stderr
    assert told.stdout.splitlines() == [
        "child: 0 False",
        "parent: 0 True",
        "relayed: 2000 ready: 2000 left: 0",
    ]
