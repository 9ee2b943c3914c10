"""regiment, its peers and bare loops side by side: `python -m benchmark` (docs/benchmark.md says what is measured and how)."""

import sys
from pathlib import Path

# The servers that it starts are those of the tests; `board` is shared with the applications.
sys.path[:0] = [
    str(Path(__file__).resolve().parents[1] / "tests"),
    str(Path(__file__).with_name("peers") / "apps"),
    str(Path(__file__).resolve().parents[1] / "examples/plugins/postgres_connector/tests"),
]
