"""`regiment run` without click: the same words as with it, and whatever is not plain is left to it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from regiment_runner.verbs.running import Given, _read, announcement


def test_a_plain_line_is_read_as_click_reads_it() -> None:
    line = "app:work=2 other --workers 1..3 --stop-timeout=2m --max-memory 64MiB --burst --heartbeat beat --log-level debug"
    assert _read(line.split()) == (
        Given(("app:work=2", "other"), "1..3", True, 120.0, 64 * 1024 * 1024, heartbeat="beat"),
        {"log-level": "DEBUG"},
    )


@pytest.mark.parametrize(
    "line",
    [
        "",
        "--help",
        "app -h",
        "app --solo",
        "app --workers",
        "app --workers --burst",
        "app --workers=many",
        "app=0",
        "app app",
        "app --stop-timeout soon",
        "app --max-memory 1KB",
        "app --log-format loud",
        "app --log-level loud",
        "app --app-dir no/such/folder",
        "app --plugin mine",
        "app --burst=yes",
        "app -- other",
    ],
)
def test_what_is_not_plain_or_not_right_is_left_to_click_which_explains_it(line: str) -> None:
    assert _read(line.split()) is None


def test_no_process_of_a_tree_imports_click(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "import sys\nfrom regiment import Queue\nwork = Queue('work', connector='sqlite:///q.db')\n"
        "@work.task\ndef tell() -> None:\n    print('click' in sys.modules, flush=True)\n"
    )
    subprocess.run([sys.executable, "-c", "import app; app.tell.push()"], cwd=tmp_path, check=True)
    told = subprocess.run(
        [sys.executable, "-m", "regiment", "run", "app", "--burst"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=60,
    )
    assert told.stdout.split() == ["False"]


def test_people_are_told_how_many_plugins_are_loaded_and_which_are_strange() -> None:
    plugins = ["redis (regiment-redis 0.2.0)", "limits (2) (regiment-limits 0.2.0)", "audit (acme-audit 1.0)"]
    fields = dict(regiment="0.2.0", workers=1, target="app", queue="q", pid=7, connector="q.db", plugins=plugins)
    last = announcement(fields).splitlines()[-1]
    assert last == "  plugins  3 loaded, among them audit (acme-audit 1.0); regiment plugins lists them"
    assert announcement(fields | {"plugins": plugins[:2]}).endswith("  plugins  2 loaded; regiment plugins lists them")
    assert announcement(fields | {"plugins": []}).endswith("  plugins  none")
