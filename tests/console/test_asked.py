"""What plugins hide from people, and what they are told of people's acts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from regiment import Queue

PLUGIN = """
import json, pathlib
from regiment.hooks import hookimpl

@hookimpl(optionalhook=True)
def regiment_mask(name, value):
    if name == "iban":
        return value[:2] + "…"
    if name == "odd":
        raise ValueError("no idea")

@hookimpl(optionalhook=True)
def regiment_audit(entry):
    with pathlib.Path("told.jsonl").open("a") as file:
        file.write(json.dumps(dict(entry)) + chr(10))
    raise RuntimeError("the disk is full")
"""


def regiment(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    (folder / "saying.py").write_text(PLUGIN)
    line = [sys.executable, "-m", "regiment", "--plugin", "saying", *words, "--connector", f"sqlite:///{folder}/q.db"]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(line, cwd=folder, capture_output=True, text=True, timeout=60, env=environment, check=False)


def pay(**_: Any) -> None: ...


def pushed(folder: Path, **arguments: Any) -> None:
    queue = Queue("bank", connector=f"sqlite:///{folder}/q.db")
    queue.task(pay).options(id="p-1").push(**arguments)


def _find(document: Any, name: str) -> Any:
    """The first value of this name in a document."""
    if isinstance(document, dict) and name in document:
        return document[name]
    inner = document.values() if isinstance(document, dict) else document if isinstance(document, list) else ()
    return next((found for one in inner if (found := _find(one, name)) is not None), None)


def test_a_plugin_hides_values_by_name_and_one_that_fails_hides_them_all_the_same(tmp_path: Path) -> None:
    pushed(tmp_path, iban="DE02120300000000202051", odd="secret thing", deep={"iban": "FR76"}, amount=3, token="x")
    done = regiment(tmp_path, "tasks", "show", "p-1", "--json")
    assert done.returncode == 0, done.stderr
    kwargs = _find(json.loads(done.stdout), "kwargs")
    assert kwargs == {"iban": "DE…", "odd": "***", "deep": {"iban": "FR…"}, "amount": 3, "token": "***"}
    assert "DE02" in regiment(tmp_path, "tasks", "show", "p-1", "--reveal").stdout


def test_a_plugin_is_told_of_each_act_and_its_failure_undoes_none(tmp_path: Path) -> None:
    pushed(tmp_path)
    done = regiment(tmp_path, "queues", "pause", "bank", "--reason", "the bank is closed")
    assert done.returncode == 0, done.stderr
    assert regiment(tmp_path, "tasks", "cancel", "p-1", "--yes").returncode == 0
    told = [json.loads(line) for line in (tmp_path / "told.jsonl").read_text().splitlines()]
    assert [(one["queue"], one["what"]) for one in told] == [("bank", "pause"), ("bank", "cancel")]
    assert told[0]["reason"] == "the bank is closed" and "@" in told[0]["who"] and told[0]["at"] > 1e9
    assert told[1]["ids"] == ["p-1"]
    kept = json.loads(regiment(tmp_path, "audit", "bank", "--json").stdout)["acts"]
    assert [one["what"] for one in kept] == ["cancel", "pause"]
