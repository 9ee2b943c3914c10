"""The plugins under examples/plugins, installed as wheels beside regiment: each passes its own tests, its examination among them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PLUGINS = Path(__file__).parents[2] / "examples/plugins"
ELSEWHERE = {"file_connector"}
"""tests/journeys/test_plugin_strangers.py has it."""
NAMES = sorted(path.name for path in PLUGINS.iterdir() if (path / "pyproject.toml").exists())
LIMIT = 240.0
"""Seconds in which the tests of one of them have to end, on a machine that is busy."""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all of them, each with its metadata, so that regiment finds their entry points."""
    folder = tmp_path_factory.mktemp("strangers")
    options = [
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "--disable-pip-version-check",
    ]
    sources = [str(PLUGINS / name) for name in NAMES]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(folder), *sources]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def run(installed: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A Python to which they are installed, in this folder."""
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in NAMES if name not in ELSEWHERE])
def test_it_passes_its_own_tests(installed: Path, name: str) -> None:
    workers = ["-n", "2"] if name == "postgres_connector" else []  # most of it is waiting
    done = run(installed, PLUGINS / name, "pytest", "-q", "-p", "no:cacheprovider", *workers, "tests")
    assert done.returncode == 0, done.stdout + done.stderr


def test_regiment_finds_them_all_and_none_is_broken(installed: Path, tmp_path: Path) -> None:
    done = run(installed, tmp_path, "regiment", "plugins")
    assert done.returncode == 0, done.stderr
    for name in NAMES:
        distribution = f"regiment-{name.partition('_')[0]}"
        [line] = [line for line in done.stdout.splitlines() if distribution in line.split()]
        assert "ok" in line.split(), line


def test_each_reads_like_a_distribution(installed: Path) -> None:
    """A README of its own, an entry point, types."""
    for name in NAMES:
        package = f"regiment_{name.partition('_')[0]}"
        assert (installed / package / "py.typed").exists(), f"{package} does not say that it has types"
        [entry] = installed.glob(f"{package}-*.dist-info/entry_points.txt")
        assert f"{package}.hooks" in entry.read_text()
        assert (PLUGINS / name / "README.md").read_text().startswith(f"# regiment-{name.partition('_')[0]}\n")
