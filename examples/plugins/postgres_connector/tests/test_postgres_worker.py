"""A whole tree on PostgreSQL: pushed on the command line, run in a burst, and a worker killed in the middle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from postgres_server import Server

APP = """
import os, time
from regiment import Queue, Use

jobs = Queue("jobs", connector=Use("postgres", url="{url}", schema="{schema}"))

@jobs.task
def note(number: int):
    with open("ledger", "a") as ledger:
        ledger.write(f"{{number}} {{os.getpid()}}\\n")
    time.sleep(0.005)

if __name__ == "__main__":
    note.push_many({{"number": number}} for number in range({tasks}))
"""
TASKS = 300

Run = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def place(server: Server, tmp_path: Path) -> Path:
    schema = tmp_path.name
    (tmp_path / "app.py").write_text(APP.format(url=server.url, schema=schema, tasks=TASKS))
    return tmp_path


def python(place: Path, *words: str) -> subprocess.Popen[str]:
    with open(place / "log", "a") as log:
        return subprocess.Popen([sys.executable, *words], cwd=place, stdout=log, stderr=log, text=True)


def ledger(place: Path) -> list[tuple[int, int]]:
    """(number, process) of what has run; a line that is being written is none yet."""
    if not (place / "ledger").exists():
        return []
    lines = (place / "ledger").read_text().split("\n")[:-1]
    return [(int(number), int(pid)) for number, pid in map(str.split, lines)]


def test_what_was_pushed_on_the_command_line_runs_in_a_burst(place: Path) -> None:
    assert python(place, "-m", "regiment", "push", "app:note", "number=7").wait(60) == 0
    assert python(place, "-m", "regiment", "run", "app", "--burst").wait(60) == 0, (place / "log").read_text()
    assert [number for number, _ in ledger(place)] == [7]


def test_a_worker_that_is_killed_loses_nothing_and_repeats_one_task_at_most(place: Path) -> None:
    assert python(place, "app.py").wait(60) == 0
    tree = python(place, "-m", "regiment", "run", "app=2", "--burst")
    kills = 0
    while kills < 3:
        seen = len(ledger(place))
        end = time.monotonic() + 60
        while len(ledger(place)) < seen + 20:
            assert time.monotonic() < end and tree.poll() is None, (place / "log").read_text()
            time.sleep(0.005)
        try:
            os.kill(ledger(place)[-1][1], signal.SIGKILL)
            kills += 1
        except ProcessLookupError:
            pass
    assert tree.wait(120) == 0, (place / "log").read_text()
    runs = Counter(number for number, _ in ledger(place))
    assert sorted(runs) == list(range(TASKS))
    assert sum(runs.values()) - TASKS <= kills
