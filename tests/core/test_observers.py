"""Observers and contexts of plugins: told, guarded one by one, never in a task's way."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

APP = """
from garrison import Queue
q = Queue("observed")

@q.task
def greet(name):
    print("hello", name, flush=True)
"""

PLUGIN = """
import contextlib, json, os
from garrison.hooks import hookimpl

def note(*words):
    with open("seen.txt", "a") as file:
        file.write(json.dumps(words) + "\\n")

@hookimpl
def garrison_tasks_pushed(queue, tasks):
    note("pushed", queue, len(tasks))
    raise RuntimeError("an observer that fails")

@hookimpl
def garrison_task_finished(outcome):
    note("finished", outcome.kind)
    raise RuntimeError("an observer that fails")

@hookimpl
@contextlib.contextmanager
def garrison_around_attempt(task):
    note("enter", task.name)
    yield
    note("leave", task.name)
    raise RuntimeError("a context that fails at its end")

@hookimpl
def garrison_supervisor_event(event):
    note("event", event["event"])
    raise RuntimeError("an observer that fails")
"""


def run(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "garrison", "--plugin", "watching", *args]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)


def test_observers_that_raise_are_reported_by_name_and_change_nothing(tmp_path: Path) -> None:
    (tmp_path / "observed.py").write_text(APP)
    (tmp_path / "watching.py").write_text(PLUGIN)

    pushed = run(tmp_path, "push", "observed:greet", "name=Ada")
    assert pushed.returncode == 0, pushed.stderr
    ran = run(tmp_path, "run", "observed", "--burst")
    assert ran.returncode == 0, ran.stderr
    assert "hello Ada" in ran.stdout
    assert "watching" in ran.stderr and "plugin.error" in ran.stderr

    seen = [json.loads(line) for line in (tmp_path / "seen.txt").read_text().splitlines()]
    assert ["pushed", "observed", 1] in seen
    attempt = [words for words in seen if words[0] in ("enter", "finished", "leave")]
    assert attempt == [["enter", "greet"], ["finished", "success"], ["leave", "greet"]]
    assert ["event", "supervisor.started"] in seen
    assert ["event", "worker.stopped"] in seen
