"""The command line in a folder that somebody has prepared: only verbs that import an application run what lies there."""

from __future__ import annotations

from typing import Any

import pytest

PLANTED = "import os\nopen(os.environ['PLANTED'], 'a').write(__name__ + chr(10))\n"


@pytest.fixture
def prepared(cli: Any) -> Any:
    """The command line in a folder with a planted plugin, and with modules named as those that it imports."""
    marker = cli.folder / "ran"
    info = cli.folder / "evil-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[regiment]\nevil = evil\n[regiment.quick]\nx = evil\n")
    for name in ("evil", "click", "pluggy", "msgpack", "structlog"):
        cli.write(f"{name}.py", PLANTED)

    def run(*args: str, **env: str) -> Any:
        answer = cli(*args, PLANTED=str(marker), **env)
        return answer, marker.read_text().split() if marker.exists() else []

    return run


@pytest.mark.parametrize(
    "line",
    [
        "--help",
        "qeues",
        "queues",
        "dead",
        "workers",
        "health",
        "plugins",
        "plugins show evil",
        "--version",
        "completion bash",
        "queues --connector sqlite:///other.db",
        "push --help",
        "run --help",
    ],
)
def test_a_verb_that_imports_no_application_runs_nothing_of_the_current_folder(prepared: Any, line: str) -> None:
    _, ran = prepared(*line.split())
    assert ran == []


def test_completion_runs_nothing_of_the_current_folder(prepared: Any) -> None:
    _, ran = prepared(_REGIMENT_COMPLETE="bash_complete", COMP_WORDS="regiment q", COMP_CWORD="1")
    assert ran == []


def test_a_verb_that_imports_an_application_finds_it_but_no_plugin_that_lies_beside_it(
    cli: Any,
) -> None:
    info = cli.folder / "evil-1.0.dist-info"
    info.mkdir()
    (info / "entry_points.txt").write_text("[regiment]\nevil = evil\n")
    cli.write("evil.py", PLANTED)
    marker = cli.folder / "ran"
    for line in ("push hello:greet name=you", "check hello", "config hello", "queues -A hello", "run hello --burst"):
        answer = cli(*line.split(), PLANTED=str(marker))
        assert answer.code == 0, answer.err
    assert not marker.exists()


@pytest.mark.parametrize("how", ["--plugin", "REGIMENT_PLUGINS"])
def test_a_plugin_that_is_named_may_lie_beside_the_application(cli: Any, how: str) -> None:
    cli.write("mine.py", "from regiment.hooks import hookimpl\n")
    answer = cli("--plugin", "mine", "plugins") if how == "--plugin" else cli("plugins", REGIMENT_PLUGINS="mine")
    assert answer.code == 0
    assert "mine" in answer.out and "broken" not in answer.out
