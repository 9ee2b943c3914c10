"""`regiment claims`: which place is meant, by those who type it and by those who do not know it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

APP = """
from regiment import Queue
from regiment_claims import Claims
one = Queue("one", connector="sqlite:///q.db", plugins=[Claims("file://{folder}/a")])
two = Queue("two", connector="sqlite:///q.db", plugins=[Claims("file://{folder}/b")])
none = Queue("none", connector="sqlite:///q.db")
@one.task
def keep(data: bytes) -> None: ...
@two.task
def keep_too(data: bytes) -> None: ...
@none.task
def forget() -> None: ...
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APP.format(folder=tmp_path))
    return tmp_path


def claims(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "regiment", "claims", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_without_a_place_it_is_said_what_to_type(folder: Path) -> None:
    for verb in ("list", "sweep"):
        said = claims(folder, verb)
        assert said.returncode == 1
        assert f"regiment claims {verb} file:///srv/claims" in said.stderr
        assert f"regiment claims {verb} -A MODULE" in said.stderr


def test_the_application_says_which_places_there_are(folder: Path) -> None:
    said = claims(folder, "list", "-A", "app")
    assert said.returncode == 1
    assert f"the queues of app have 2 places; name one of them: file://{folder}/a, file://{folder}/b" in said.stderr
    assert "no queue of app:none names a place of claims" in claims(folder, "list", "-A", "app:none").stderr


def test_the_place_of_the_application_is_listed_without_naming_it(folder: Path) -> None:
    push = "import app; app.keep.push(data=bytes(200_000))"
    subprocess.run([sys.executable, "-c", push], cwd=folder, check=True, timeout=60)
    said = claims(folder, "list", "-A", "app:one")
    assert said.returncode == 0 and "1 blob, " in said.stderr
