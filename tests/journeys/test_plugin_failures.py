"""Plugins that cannot be used: each is a line with its reason, and every command that does not need it works."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

OFFER = """
from regiment.hooks import Offer, hookimpl

@hookimpl
def regiment_{kind}():
    return {{"{name}": Offer("{module}:Part"{more})}}
"""


def install(folder: Path, distribution: str, source: str) -> None:
    """What pip leaves of a distribution with one module, which is its plugin."""
    module = distribution.replace("-", "_")
    folder.mkdir(exist_ok=True)
    (folder / f"{module}.py").write_text(source)
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[regiment]\n{distribution} = {module}\n")


def offering(module: str, kind: str, name: str, more: str = "") -> str:
    return OFFER.format(kind=kind, name=name, module=module, more=more)


@pytest.fixture
def many(cli: Any) -> Any:
    """The command line beside a plugin of every way to fail, and a sound one."""
    install(cli.folder / "site", "no-luck", "raise RuntimeError('no such luck')\n")
    install(cli.folder / "site", "half-a-line", "def regiment_connectors(:\n")
    install(cli.folder / "site", "first-kafka", offering("first_kafka", "connectors", "kafka"))
    install(cli.folder / "site", "second-kafka", offering("second_kafka", "connectors", "kafka"))
    install(
        cli.folder / "site",
        "far-future",
        offering("far_future", "serializers", "cbor", ", contract=99"),
    )
    install(cli.folder / "site", "not-wanted", offering("not_wanted", "executors", "trio"))
    install(
        cli.folder / "site",
        "wrong-hook",
        "from regiment.hooks import hookimpl\n@hookimpl\ndef regiment_task_begun(task): ...\n",
    )
    install(
        cli.folder / "site",
        "no-offer",
        "from regiment.hooks import hookimpl\n@hookimpl\ndef regiment_killers(): return {'axe': 'no_offer:Part'}\n",
    )
    install(cli.folder / "site", "no-target", offering("no_target", "compressors", "snappy"))

    def run(*args: str, **env: str) -> Any:
        return cli(*args, **{"PYTHONPATH": str(cli.folder / "site"), "REGIMENT_NO_PLUGINS": "not-wanted", **env})

    return run


def test_each_is_a_line_with_its_state_and_reason(many: Any) -> None:
    listed = {one["plugin"]: one for one in many("plugins", "--json").document["plugins"]}
    found = {name: (one["state"], one["reason"]) for name, one in listed.items()}
    clash = (
        "connector 'kafka' is offered by both first-kafka 1.0 and second-kafka 1.0; "
        "uninstall one of them, or block one with --no-plugin"
    )
    expected = {
        "no-luck": ("broken", "RuntimeError: no such luck"),
        "first-kafka": ("ok", clash),
        "second-kafka": ("refused", clash),
        "far-future": (
            "refused",
            "serializer 'cbor' was made for contract version 99; this regiment takes 1 and 2",
        ),
        "not-wanted": ("blocked", "blocked by --no-plugin or REGIMENT_NO_PLUGINS"),
        "no-target": ("ok", ""),
    }
    assert {name: found[name] for name in expected} == expected
    assert found["half-a-line"][0] == "broken" and "SyntaxError" in found["half-a-line"][1]
    assert found["wrong-hook"][0] == "broken" and "regiment_task_begun" in found["wrong-hook"][1]
    assert found["no-offer"] == (
        "broken",
        "TypeError: an offer is 'no_offer:Part'; expected Offer(\"module:attribute\", …)",
    )
    assert listed["no-luck"]["distribution"] == "no-luck" and listed["no-luck"]["version"] == "1.0"


def test_every_command_that_needs_none_of_them_works(many: Any) -> None:
    for line in (
        ["--help"],
        ["plugins"],
        ["plugins", "show", "zlib"],
        ["config", "hello"],
        ["check", "hello"],
        ["push", "hello:greet", "name=Ada"],
        ["queues"],
        ["dead"],
        ["workers"],
    ):
        answer = many(*line)
        assert answer.code == 0, (line, answer.err)
    ran = many("run", "hello", "--burst")
    assert ran.code == 0, ran.err
    assert "hello Ada" in ran.out


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            "serializer='cbor'",
            "the plugin far-future of far-future 1.0 has it and is refused: serializer 'cbor' was made for contract version 99",
        ),
        ("executor='trio'", "not-wanted (blocked), wrong-hook (broken); see regiment plugins"),
        ("compressor='snappy'", "compressor 'snappy' of no-target 1.0 cannot be loaded: AttributeError"),
    ],
)
def test_who_asks_for_one_is_told_what_failed_in_it(cli: Any, many: Any, settings: str, words: str) -> None:
    cli.write("asking.py", f"from regiment import Queue\nq = Queue('q', {settings})\n@q.task\ndef greet(): ...\n")
    answer = many("check", "asking")
    assert answer.code == 6
    assert words in answer.out + answer.err


def test_blocking_one_of_two_of_the_same_name_leaves_the_other(many: Any) -> None:
    listed = many("plugins", "--no-plugin", "first-kafka", "--json").document["plugins"]
    states = {one["plugin"]: one["state"] for one in listed}
    assert (states["first-kafka"], states["second-kafka"]) == ("blocked", "ok")


def test_a_broken_plugin_keeps_out_of_the_way_of_a_program_that_pushes(cli: Any, many: Any) -> None:
    cli.write("pusher.py", "import hello\nhello.greet.push(name='Ada')\nprint('pushed')\n")
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "pusher.py"],
        cwd=cli.folder,
        capture_output=True,
        text=True,
        timeout=60,
        env=cli.environment(PYTHONPATH=str(cli.folder)),
    )
    assert done.stdout == "pushed\n", done.stderr
