"""What a worker's code is: a print that differs if, and only if, the application's sources do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys
sys.path[:0] = [sys.argv[1], sys.argv[1] + "/venv/lib/site-packages"]
import shop.tasks, third
from regiment_runner.worker.known import fingerprint
print(fingerprint("shop.tasks", sys.argv[1]), end="")
"""


def printed(folder: Path) -> str:
    """The print of the application there, as a worker of its own takes it."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(folder)], capture_output=True, text=True, check=True)
    return done.stdout


def application(folder: Path) -> Path:
    for name, text in {
        "shop/__init__.py": "",
        "shop/tasks.py": "import helper",
        "helper.py": "RATE = 1",
        "never_imported.py": "",
        "venv/lib/site-packages/third.py": "",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_the_same_sources_have_the_same_print_in_another_folder(tmp_path):
    assert printed(application(tmp_path / "a")) == printed(application(tmp_path / "b"))


def test_a_change_of_the_target_or_of_what_it_imports_changes_the_print(tmp_path):
    one = application(tmp_path)
    before = printed(one)
    (one / "helper.py").write_text("RATE = 2")
    other = printed(one)
    (one / "shop/tasks.py").write_text("import helper as _")
    assert len({before, other, printed(one)}) == 3


def test_what_is_installed_or_not_imported_is_not_the_applications(tmp_path):
    one = application(tmp_path)
    before = printed(one)
    (one / "venv/lib/site-packages/third.py").write_text("VERSION = 2")
    (one / "never_imported.py").write_text("x = 1")
    assert printed(one) == before
