"""Plugins of strangers alone: the wheels of the core and of parts that are none of ours, elsewhere, without the repository."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from architecture.test_distributions import Place, closure, link
from regiment_testing.plugins_new import make

ROOT = Path(__file__).parents[2]
FILE = ROOT / "examples/plugins/file_connector"
NEW = {"serializer": "plain", "executor": "pool", "killer": "strict"}

APP = """
from regiment import Queue, Timeouts

hello = Queue(
    "hello", connector="file://{folder}/tasks", serializer="plain", executor="pool", killer="strict",
    timeouts=Timeouts(hard=1, grace=0.1), max_retries=0, lease=5,
)

@hello.task
def greet(name):
    print("hello", name, flush=True)

@hello.task
def hang():
    while True:
        pass
"""


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheels of the core and of our programs, of the connector among the examples, and of three that `regiment plugins new` made."""
    folder = tmp_path_factory.mktemp("strangers")
    for kind, name in NEW.items():
        for path, text in make(kind, name).items():
            (folder / name / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / name / path).write_text(text)
    programs = [ROOT / "plugins" / name for name in ("cli", "runner", "console", "testing_kit")]
    sources = [ROOT / "core", *programs, FILE, *(folder / name for name in NEW.values())]
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    command = [sys.executable, "-m", "pip", "wheel", *options, "-w", folder, *sources]
    subprocess.run([*map(str, command)], check=True)
    return folder


PROGRAMS = ("regiment-cli", "regiment-runner", "regiment-console", "regiment-testing")


@pytest.fixture
def place(wheels: Path, tmp_path: Path) -> Place:
    return Place(
        tmp_path, wheels, "regiment-core", *PROGRAMS, "regiment-file", *(f"regiment-{name}" for name in NEW.values())
    )


def test_all_of_them_are_found_and_no_part_of_ours_is_there(place: Place) -> None:
    listed = json.loads(place.regiment("plugins", "--json").stdout)["plugins"]
    assert {one["distribution"]: one["state"] for one in listed} == {
        **dict.fromkeys(PROGRAMS, "ok"),
        "regiment-file": "ok",
        "regiment-plain": "ok",
        "regiment-pool": "ok",
        "regiment-strict": "ok",
    }


def test_a_worker_of_their_parts_alone_runs_tasks_and_stops_what_hangs(place: Place) -> None:
    (place.path / "hello.py").write_text(APP.format(folder=place.path))
    for arguments in (["hello:greet", "name=Ada"], ["hello:hang"], ["hello:greet", "name=Bob"]):
        pushed = place.regiment("push", *arguments)
        assert pushed.returncode == 0, pushed.stderr
    ran = place.regiment("run", "hello", "--burst")
    assert "hello Ada" in ran.stdout and "hello Bob" in ran.stdout, ran.stderr
    assert ran.returncode == 1, "a burst that made a dead letter"
    dead = json.loads(place.regiment("dead", "list", "hello", "-A", "hello", "--json").stdout)
    assert re.search(r"time limit|timeout", json.dumps(dead))
    left = json.loads(place.regiment("queues", "-A", "hello", "--json").stdout)["queues"]
    assert [(one["queue"], one["ready"], one["leased"]) for one in left] == [("hello", 0, 0)]


def test_they_are_examined_where_pytest_is_the_only_other_package(place: Place) -> None:
    link(closure("pytest"), place.path)
    for name in ("regiment-strict", "regiment-pool"):
        card = place.regiment("plugins", "check", name)
        assert card.returncode == 0, card.stdout + card.stderr
        assert re.search(r"(\d+) of \1 promises hold", card.stdout)


def test_the_connector_among_the_examples_passes_its_own_tests() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "4", "tests"],  # most of it is waiting
        cwd=FILE,
        env={**os.environ, "PYTHONPATH": "src"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout
