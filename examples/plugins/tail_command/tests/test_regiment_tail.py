"""The command, called as people call it: through regiment's own command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

APP = """
from regiment import Queue

jobs = Queue("jobs", connector="sqlite:///{folder}/queue.db", max_retries=0)

@jobs.task
def fail(number):
    raise ValueError(f"no {{number}}")

if __name__ == "__main__":
    import sys
    fail.push_many({{"number": int(word)}} for word in sys.argv[1:])
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APP.format(folder=tmp_path))
    return tmp_path


def regiment(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "regiment", *words]
    return subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)


def bury(place: Path, *numbers: int) -> None:
    """So many dead letters, in this order."""
    command = [sys.executable, "app.py", *map(str, numbers)]
    subprocess.run(command, cwd=place, check=True)
    done = regiment(place, "run", "app", "--burst")
    assert done.returncode == 1, done.stderr


def errors(text: str) -> list[Any]:
    return [json.loads(line)["error"] for line in text.splitlines()]


def test_the_last_letters_stand_there_the_oldest_first(place: Path) -> None:
    bury(place, 1, 2, 3)
    done = regiment(place, "tail", "jobs", "--store", f"sqlite:///{place}/queue.db", "-n", "2")
    assert errors(done.stdout) == ["no 2", "no 3"], done.stderr
    one = json.loads(done.stdout.splitlines()[0])
    assert (one["name"], one["kind"]) == ("fail", "failure")


def test_a_queue_without_letters_is_silent(place: Path) -> None:
    done = regiment(place, "tail", "jobs", "--store", f"sqlite:///{place}/queue.db")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert not (place / "queue.db").exists(), "looking makes no store"


def test_a_store_that_nobody_offers_is_an_error_in_words(place: Path) -> None:
    done = regiment(place, "tail", "jobs", "--store", "nosuch://here")
    assert done.returncode == 6
    assert "nosuch" in done.stderr and "Traceback" not in done.stderr


def test_follow_goes_on_with_what_comes_and_says_nothing_twice(place: Path) -> None:
    bury(place, 1)
    out = place / "out"
    with open(out, "w") as file:
        # Where this was started with SIGINT ignored (`nohup`, `&` in a script), the command would ignore it, too.
        usual = ["env", "--default-signal=INT"]
        tail = subprocess.Popen(
            [*usual, sys.executable, "-m", "regiment", "tail", "jobs", "-f", "--every", "0.05"],
            cwd=place,
            env={**os.environ, "REGIMENT_CONNECTOR": f"sqlite:///{place}/queue.db"},
            stdout=file,
        )
    try:
        for wanted in (["no 1"], ["no 1", "no 2"], ["no 1", "no 2", "no 3"]):
            if len(wanted) > 1:
                bury(place, len(wanted))
            end = time.monotonic() + 30
            while errors(out.read_text()) != wanted and time.monotonic() < end:
                time.sleep(0.02)
            assert errors(out.read_text()) == wanted
    finally:
        tail.send_signal(signal.SIGINT)
        try:
            assert tail.wait(30) == 0
        finally:
            tail.kill()
