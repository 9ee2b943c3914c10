"""A plugin that needs an extra of the contract, at a queue whose store does not keep it: refused in words, wherever one begins."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from regiment import exits

FILE = Path(__file__).parents[2] / "examples/plugins/file_connector/src"
APP = """
from regiment import Queue, Use

class Keeping:
    needs = frozenset({needs})

q = Queue("q", connector=Use("regiment_file.connector:FileConnector", path={path!r}), plugins=[Keeping()])

@q.task
def greet():
    print("hello", flush=True)
"""
PUSHER = """
import app
from regiment.errors import ConfigError
try:
    app.greet.push()
except ConfigError as error:
    print(error)
"""
WORDS = '(FileConnector) does not keep "effects", which the plugin Keeping needs. Stores that keep it: '


@pytest.fixture
def run(cli: Any) -> Any:
    """The command line, with the example of a connector that keeps no extra."""
    path = str(cli.folder / "kept")
    cli.write("app.py", APP.format(needs={"effects"}, path=path))
    cli.write("plain.py", APP.format(needs=(), path=path))
    return lambda *args: cli(*args, PYTHONPATH=str(FILE))


@pytest.mark.parametrize(
    "line", [["check", "app"], ["run", "app", "--burst"], ["push", "app:greet"]], ids=lambda x: x[0]
)
def test_a_store_without_the_extra_is_refused_by(cli: Any, run: Any, line: list[str]) -> None:
    answer = run(*line)
    assert answer.code == exits.CONFIG
    before, _, after = (answer.out + answer.err).partition(WORDS)
    assert after and str(cli.folder / "kept") in before, answer.out + answer.err
    assert "memory" in after.partition("\n")[0].replace(",", " ").split()
    assert not (cli.folder / "kept").exists(), "it was opened"


def test_a_program_is_told_at_its_first_push(cli: Any, run: Any) -> None:
    cli.write("pusher.py", PUSHER)
    path = f"{cli.folder}:{FILE}"
    done = subprocess.run(
        [sys.executable, "pusher.py"],
        cwd=cli.folder,
        capture_output=True,
        text=True,
        timeout=60,
        env=cli.environment(PYTHONPATH=path),
    )
    assert WORDS in done.stdout, done.stdout + done.stderr


def test_the_same_store_runs_where_nobody_needs_the_extra(run: Any) -> None:
    for line in (["check", "plain"], ["push", "plain:greet"], ["run", "plain", "--burst"]):
        answer = run(*line)
        assert answer.code == 0, answer.out + answer.err
    assert "hello" in answer.out
