"""docs/operating.md: its examples, typed one after the other, say what the page says."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from regiment_cli.main import main

PAGE = Path(__file__).parents[2] / "docs/operating.md"


def blocks(language: str) -> list[str]:
    """The texts of the blocks that begin with these words."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def plain(text: str) -> list[str]:
    """Lines without what differs each time: ages, moments, the width of columns that follows from them, and what
    some release of Python draws below a line."""
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\+00:00| UTC)", "MOMENT", text)
    text = re.sub(r"\b\d+(\.\d)? (s|m|h)\b", "AGE", text)
    lines = [line for line in text.splitlines() if not line.startswith("store: ") and line.strip(" ^~")]
    return [re.sub(r" {2,}", "  ", line).rstrip() for line in lines]


IMPORTING = ("push", "run", "dead try")
"""Verbs that import the application of the page: each in a process of its own."""


def typed(cli, line: str) -> str:
    """What a command says, as a terminal shows it."""
    words = shlex.split(line)
    if line.startswith(tuple(f"regiment {verb}" for verb in IMPORTING)):
        return subprocess.run(
            [sys.executable, "-m", *words],
            cwd=cli.folder,
            env=cli.environment(LOGNAME="ada", SUDO_USER=""),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        ).stdout
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), pytest.raises(SystemExit):
        main(words[1:])
    return said.getvalue()


def test_the_examples_of_the_page_say_what_it_says(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    cli.write("shop.py", blocks("python file=shop.py")[0])
    monkeypatch.chdir(cli.folder)
    monkeypatch.setenv("LOGNAME", "ada")
    for name in ("SUDO_USER", "REGIMENT_CONNECTOR", "REGIMENT_APP"):
        monkeypatch.delenv(name, raising=False)
    for block in blocks("console tested"):
        for example in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            line, _, told = example.partition("\n")
            said = typed(cli, line).replace(f"@{os.uname().nodename}", "@web1")
            said = said.replace(f"{cli.folder}/.regiment", "~/shop/.regiment").replace(f"{cli.folder}/", "")
            assert plain(said) == plain(told), f"{line}\n{said}"
