"""What Prometheus reads of a tree that works, and what an observer costs that is not asked for."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

APP = """
from regiment import Queue

jobs = Queue("jobs", connector="sqlite:///{folder}/queue.db", max_retries=0)

@jobs.task
def add(a, b):
    return a + b

@jobs.task
def fail():
    raise ValueError("no")

if __name__ == "__main__":
    add.push_many({{"a": n, "b": 1}} for n in range(20))
    fail.push()
"""


def python(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A Python of its own."""
    return subprocess.run(
        [sys.executable, *words],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


def scraped(port: int) -> dict[str, float]:
    """Sample -> value; empty while nobody serves."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    except (urllib.error.URLError, ConnectionError):
        return {}
    lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


def test_without_its_variable_it_has_no_hook_and_imports_nothing() -> None:
    code = (
        "import sys, regiment_prometheus.hooks as hooks\n"
        "print([name for name in vars(hooks) if name.startswith('regiment_')], 'prometheus_client' in sys.modules)"
    )
    done = python("-c", code, REGIMENT_PROMETHEUS="")
    assert done.stdout == "[] False\n", done.stderr


@pytest.mark.parametrize("text", ["9400", "localhost", "localhost:http", ":0", ":70000"])
def test_an_address_that_is_none_is_said_in_words(text: str) -> None:
    done = python("-c", "import regiment_prometheus.hooks", REGIMENT_PROMETHEUS=text)
    if text == "9400":
        assert "PROMETHEUS_MULTIPROC_DIR is None; expected an empty folder" in done.stderr
    else:
        assert f"REGIMENT_PROMETHEUS is {text!r}; expected host:port" in done.stderr


def test_a_tree_that_works_can_be_read(tmp_path: Path, port: int) -> None:
    (tmp_path / "app.py").write_text(APP.format(folder=tmp_path))
    (tmp_path / "counts").mkdir()
    environment = {
        "REGIMENT_PROMETHEUS": f"127.0.0.1:{port}",
        "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "counts"),
    }
    pushed = python(str(tmp_path / "app.py"), **environment)
    assert pushed.returncode == 0, pushed.stderr
    with open(tmp_path / "log", "w") as log:
        tree = subprocess.Popen(
            [sys.executable, "-m", "regiment", "run", "app=2"],
            cwd=tmp_path,
            env={**os.environ, **environment},
            stdout=log,
            stderr=log,
        )
    wanted = {
        'regiment_tasks_pushed_total{queue="jobs"}': 21.0,
        'regiment_tasks_ended_total{name="add",outcome="success",queue="jobs"}': 20.0,
        'regiment_tasks_ended_total{name="fail",outcome="failure",queue="jobs"}': 1.0,
        'regiment_task_seconds_count{name="add",queue="jobs"}': 20.0,
        'regiment_dead_letters_total{name="fail",queue="jobs"}': 1.0,
    }
    seen: dict[str, float] = {}
    try:
        end = time.monotonic() + 60
        while not wanted.items() <= seen.items() and time.monotonic() < end and tree.poll() is None:
            time.sleep(0.1)
            seen = scraped(port)
    finally:
        tree.send_signal(signal.SIGTERM)
        tree.wait(60)
    assert wanted.items() <= seen.items(), f"{seen}\n{(tmp_path / 'log').read_text()}"
    assert any(re.match(r"regiment_supervisor_events_total\{", name) for name in seen)
