"""Pieces and runs have the type of what they give, for mypy --strict."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def test_pieces_and_runs_have_the_type_of_what_they_give(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mypy", "--strict", "--python-version", "3.11", "--cache-dir", str(tmp_path)]
    done = subprocess.run(
        [*command, "typed_use.py"], cwd=HERE, capture_output=True, text=True, timeout=400, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
