"""The real command line, as people call it: `python -m regiment` in a folder of its own, on the embedded store."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

APP = """
import os, sys, time
from regiment import Fail, Queue, Retry, Timeouts

hello = Queue("hello")

@hello.task
def greet(name: str) -> None:
    print(f"hello {name}", flush=True)

@hello.task
def divide(number: int = 1) -> None:
    number / 0

@hello.task
def sleep(seconds: float) -> None:
    print("sleeping", flush=True)
    time.sleep(seconds)
    print("slept", flush=True)

@hello.task
def read() -> None:
    print("read", repr(sys.stdin.readline()), flush=True)
"""


class Answer(NamedTuple):
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        assert self.out, f"exit code {self.code}, and nothing but this was said: {self.err}"
        return json.loads(self.out)


class Shell:
    """A folder with an application in it, and the command line there."""

    def __init__(self, folder: Path, bytecode: Path) -> None:
        self.folder, self._bytecode = folder, bytecode
        self.running: list[subprocess.Popen[str]] = []
        self.write("hello.py", APP)

    def write(self, name: str, text: str) -> None:
        """Write a file of the application."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def environment(self, **changes: str) -> dict[str, str]:
        """This one's, without what belongs to regiment."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("REGIMENT")}
        kept.pop("PYTHONDONTWRITEBYTECODE", None)
        cached = {"PYTHONPYCACHEPREFIX": str(self._bytecode)}  # as an installed regiment has it
        return {**kept, **cached, "NO_COLOR": "1", "COLUMNS": "100", **changes}

    def __call__(self, *args: str, stdin: str = "", cwd: Path | None = None, **env: str) -> Answer:
        """Run `regiment ARGS`; stdin is no terminal."""
        done = subprocess.run(
            [sys.executable, "-m", "regiment", *args],
            cwd=cwd or self.folder,
            env=self.environment(**env),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=180,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def start(self, *args: str, stdin: str = "") -> subprocess.Popen[str]:
        """Start `regiment ARGS`, with stdout and stderr in one pipe; it is ended with the test."""
        process = subprocess.Popen(
            [sys.executable, "-m", "regiment", *args],
            cwd=self.folder,
            env=self.environment(),
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.running.append(process)
        assert process.stdin is not None
        process.stdin.write(stdin)
        process.stdin.close()
        return process

    def counts(self, queue: str = "hello") -> dict[str, Any]:
        """What `regiment queues --json` says of a queue."""
        queues = self("queues", "--json").document["queues"]
        found: dict[str, Any] = next((one for one in queues if one["queue"] == queue), {})
        return found


def _read_until(process: subprocess.Popen[str], word: str) -> str:
    """The lines of a started command up to the one with `word`."""
    assert process.stdout is not None
    seen = ""
    while word not in seen:
        line = process.stdout.readline()
        assert line, f"it ended and never said {word!r}:\n{seen}"
        seen += line
    return seen


def _wait_for(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it did not come about within {seconds} s"
        time.sleep(0.05)


@pytest.fixture(scope="session")
def bytecode(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands of all tests keep their compiled modules."""
    return tmp_path_factory.mktemp("bytecode")


@pytest.fixture
def cli(tmp_path: Path, bytecode: Path) -> Iterator[Shell]:
    shell = Shell(tmp_path, bytecode)
    yield shell
    for process in shell.running:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@pytest.fixture
def read_until() -> Callable[[subprocess.Popen[str], str], str]:
    return _read_until


@pytest.fixture
def wait_for() -> Callable[..., None]:
    return _wait_for
