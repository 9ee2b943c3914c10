"""What a configuration takes from its surroundings is read when it is made, never at its first use."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from regiment import Queue, WorkerConfig
from regiment.build import make_connector
from regiment_runner.supervisor import Supervisor

CORE = Path(__file__).parents[2] / "core/src/regiment"


@pytest.mark.parametrize("connector", ["sqlite:///jobs.db", None])
def test_a_push_after_a_change_of_folder_goes_where_the_queue_was_made(
    connector: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    here.mkdir()
    elsewhere.mkdir()
    monkeypatch.delenv("REGIMENT_CONNECTOR", raising=False)
    monkeypatch.chdir(here)
    queue = Queue("q", connector=connector)
    queue.task(_follow)
    monkeypatch.chdir(elsewhere)
    queue.tasks["_follow"].push(n=1)
    assert list(elsewhere.iterdir()) == []
    file = here / ("jobs.db" if connector else ".regiment/queue.db")
    assert file.exists()
    monkeypatch.chdir(here)
    again = make_connector(Queue("q", connector=connector).config)()
    again.open("look")
    assert again.counts("q").ready == 1
    again.close()


def _follow(n: int) -> None:
    """A task."""


def test_a_store_of_the_environment_is_the_one_that_it_named_when_the_queue_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGIMENT_CONNECTOR", f"sqlite:///{tmp_path}/first.db")
    config = WorkerConfig(name="q")
    monkeypatch.setenv("REGIMENT_CONNECTOR", f"sqlite:///{tmp_path}/second.db")
    assert make_connector(config)().describe().endswith("first.db")
    assert make_connector(config.replace(lease=9.0))().describe().endswith("first.db")


def test_a_relative_heartbeat_is_meant_from_where_the_supervisor_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = Supervisor("app", heartbeat="beat")
    monkeypatch.chdir("/")
    assert made.tree.options.heartbeat == str(tmp_path / "beat")


def test_only_the_configuration_reads_which_store_the_environment_names_and_where_it_is() -> None:
    """A guard: whoever else asks for the current folder or for the variable would be answered at another time."""
    readers = set()
    for path in sorted(CORE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and (
                ast.unparse(node.func) in ("os.getcwd", "Path.cwd")
                or (ast.unparse(node.func) in ("os.environ.get", "os.getenv") and "CONNECTOR" in ast.unparse(node))
            ):
                readers.add(str(path.relative_to(CORE)))
    assert readers <= {"config.py", "__main__.py", "installed.py"}, readers
