"""`pytest-regiment` in the tests of an application, as its author runs them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

APP = """
from regiment import Queue

mail = Queue("mail")
sent = []

@mail.task
def send(to):
    if to in sent:
        raise LookupError(f"{to} has it already")
    sent.append(to)

@mail.task
def note(path):
    with open(path, "a") as file:
        file.write("noted ")
"""
TESTS = """
import pytest
from letters import mail, note, send

def test_captures(regiment):
    send.push(to="ada")
    regiment.assert_pushed(send, to="ada")
    assert regiment.drain() == 1

@pytest.mark.regiment(mail, twice=False)
def test_is_left_alone(regiment):
    send.push(to="grace")
    regiment.drain()
    regiment.assert_none_dead()

def test_tree(regiment_tree, tmp_path):
    path = tmp_path / "noted"
    tree = regiment_tree("letters:mail", workers=1)
    note.push(path=str(path))
    note.push(path=str(path))
    tree.drain(mail, within=60)
    assert path.read_text() == "noted noted "
    assert tree.stop() == 0

@pytest.mark.parametrize("fails", FAILS)
def test_fails(regiment, fails):
    send.push(to="edsger")
    assert not fails

@pytest.mark.regiment(twise=False)
def test_with_a_wrong_marker(regiment): ...
"""


@pytest.fixture
def letters(tmp_path: Path) -> Path:
    (tmp_path / "letters.py").write_text(APP)
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers -p no:cacheprovider\npythonpath = .\n")
    return tmp_path


def run(folder: Path, *words: str) -> tuple[int, str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("REGIMENT", "PYTEST"))}
    told = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    return told.returncode, told.stdout + told.stderr


def test_the_fixtures_capture_run_real_workers_and_a_failure_says_what_was_pushed(letters: Path) -> None:
    (letters / "test_letters.py").write_text(TESTS.replace("FAILS", "[False, True]"))
    code, said = run(letters)
    assert code == 1 and "1 failed, 4 passed, 1 error" in said, said
    assert "regiment: pushed" in said and "1. send(to='edsger') on \"mail\"" in said
    assert 'the marker regiment has no "twise"; it has: twice' in said
    assert not (letters / ".regiment").exists(), "the real worker had a store of its own"


def test_with_twice_each_task_runs_again_and_one_that_does_harm_fails_its_test(letters: Path) -> None:
    (letters / "test_letters.py").write_text(TESTS.replace("FAILS", "[]"))
    code, said = run(letters, "--regiment-twice", "-k", "captures or alone")
    assert code == 1 and "1 failed, 1 passed" in said, said
    assert "ended as failure when it ran a second time: LookupError('ada has it already')" in said
