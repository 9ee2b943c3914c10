"""From `regiment plugins new` to an installed plugin whose tests pass, for every kind, as its author would go."""

from __future__ import annotations

import json
import os
import re
import site
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from regiment_testing.plugins_new import KINDS


class Venv:
    """An environment of its own, with everything that this one has, and room for what an author installs."""

    def __init__(self, path: Path) -> None:
        self.path, self.python = path, path / "bin/python"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", path], check=True)
        here = [*site.getsitepackages(), site.getusersitepackages()]
        lines = [f"import site; site.addsitedir({folder!r})" for folder in here]
        packages = next(path.glob("lib/*/site-packages"))
        (packages / "outer.pth").write_text("\n".join(lines) + "\n")

    def run(self, *args: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run a module of this environment: `run("pip", "list")`."""
        env = {name: value for name, value in os.environ.items() if not name.startswith(("REGIMENT", "PYTEST"))}
        return subprocess.run(
            [self.python, "-m", *map(str, args)],
            cwd=cwd or self.path,
            env=env,
            capture_output=True,
            text=True,
            timeout=300,
        )

    def good(self, *args: str | Path, cwd: Path | None = None) -> str:
        """The same for what has to succeed; its stdout."""
        done = self.run(*args, cwd=cwd)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def install(self, folders: Sequence[Path]) -> None:
        """`pip install -e` for each, from what is here."""
        editable = [word for folder in folders for word in ("-e", folder)]
        self.good("pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", *editable)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Venv:
    """A new plugin of every kind, installed as its author would."""
    venv = Venv(tmp_path_factory.mktemp("author") / "venv")
    for kind in KINDS:
        venv.good("regiment", "plugins", "new", kind, f"new-{kind}")
    venv.install([venv.path / f"regiment-new-{kind}" for kind in KINDS])
    return venv


def test_all_of_them_are_listed_and_can_be_used(made: Venv) -> None:
    listed = json.loads(made.good("regiment", "plugins", "--json"))["plugins"]
    states = {one["plugin"]: (one["state"], one["reason"]) for one in listed}
    assert {name: state for name, state in states.items() if name.startswith("new-")} == {
        f"new-{kind}": ("ok", "") for kind in KINDS
    }
    shown = made.good("regiment", "plugins", "show", "new-compressor")
    assert "option level: int, default 6" in shown


def test_a_new_plugin_of_each_kind_passes_its_own_tests(made: Venv) -> None:
    folders = [made.path / f"regiment-new-{kind}/tests" for kind in KINDS]
    # Most of it is waiting, so several at once cost no more; an executor and a killer need main threads: each has one.
    said = made.good("pytest", "-p", "no:cacheprovider", "-n", "4", "-rA", *folders)
    for kind in KINDS:
        assert re.search(rf"^PASSED .*\btest_regiment_new_{kind}\.py::", said, re.MULTILINE), kind
    assert " failed" not in said and " xfailed" not in said


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_to_be_filled_in_stands_in_its_readme(made: Venv, kind: str) -> None:
    folder = made.path / f"regiment-new-{kind}"
    sources = "".join(path.read_text() for path in folder.rglob("*.py"))
    readme = (folder / "README.md").read_text()
    assert "TODO" in sources
    assert readme.count("\n- `") == sources.count("# TODO: ")
    assert "$" not in readme + sources


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("store", "x"), "'store' is not one of 'connector', 'serializer'"),
        (("connector", "My Store"), "'My Store' is no name; expected lower-case letters"),
        (("serializer", "x" * 33), "has 33 characters; expected at most 32"),
        (("connector", "redis"), '"redis" is a name of regiment-redis'),
        (("serializer", "new-serializer", "--into", "elsewhere"), "is a name of an installed plugin"),
        (("connector", "new-connector"), "regiment-new-connector exists; nothing was written"),
    ],
)
def test_what_cannot_be_made_is_refused_in_words(made: Venv, args: tuple[str, ...], words: str) -> None:
    done = made.run("regiment", "plugins", "new", *args)
    assert done.returncode == 2
    assert words in done.stderr
