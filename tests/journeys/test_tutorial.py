"""docs/tutorial.md, typed as it stands in an empty folder: each command says what the page says."""

from __future__ import annotations

import os
import pty
import re
import signal
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from harness import servers

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/tutorial.md"

VARIES = {
    r"\x1b\[[0-9;?]*[a-zA-Z]|\r": "",
    r"\d{4}-\d\d-\d\dT[\d:.]+": "MOMENT",
    r"\b[0-9a-z]{18}-\d+\b": "ID",
    r"\b\d+(\.\d+)? (ms|s|m|h)\b|\b\d+m\d+([.,]\d+)?s\b": "AGE",
    r"\bpid \d+": "pid N",
    r"  +": "  ",
}
"""What differs each time, and what stands for it."""


class Block(NamedTuple):
    """A fenced block, and the heading that it stands under."""

    heading: str
    words: list[str]
    text: str


def blocks() -> Iterator[Block]:
    """The blocks of the page, in order."""
    heading = ""
    for found in re.finditer(r"^## (.+)$|^```(.*)\n((?s:.*?))^```$", PAGE.read_text(), re.MULTILINE):
        heading = found[1] or heading
        if found[3] is not None:
            yield Block(heading, found[2].split(), found[3])


def plain(line: str) -> str:
    """A line without what differs each time."""
    for pattern, instead in VARIES.items():
        line = re.sub(pattern, instead, line)
    return line.strip()


def says(output: str, told: str) -> bool:
    """True if the output has the lines that the page tells, in their order; a "…" stands for anything."""
    lines = iter([plain(line) for line in output.splitlines()])
    wanted = [re.escape(plain(line)).replace("…", ".*") for line in told.splitlines() if plain(line) != "…"]
    return all(any(re.fullmatch(pattern, line) for line in lines) for pattern in wanted)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


class Terminal:
    """What a person at one terminal types, and what it says."""

    def __init__(self, folder: Path, environment: dict[str, str], line: str) -> None:
        self._ours, theirs = pty.openpty()
        command = ["bash", "-c", line]
        self._process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)
        os.set_blocking(self._ours, False)
        self.said = ""

    def wait(self, told: str, seconds: float = 90.0) -> str:
        """Read until it says all that, and, for a command that ends, until it has ended."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            ended = self._process.poll() is not None
            self._read()
            if ended or (told and says(self.said, told)):
                break
            time.sleep(0.05)
        return self.said

    def _read(self) -> None:
        try:
            while piece := os.read(self._ours, 65_536):
                self.said += piece.decode(errors="replace")
        except (BlockingIOError, OSError):
            pass  # nothing more now, or it has ended

    def interrupt(self) -> None:
        """Ctrl-C, and wait for its end."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGINT)
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        self._read()
        os.close(self._ours)


class Person:
    """Follows the page: writes its files, types its commands, leaves running what is to run beside, and ends it at the next heading."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        kept = {name: value for name, value in os.environ.items() if not name.startswith("REGIMENT")}
        paths = [str(Path(sys.executable).parent), str(Path(servers.program()).parent), kept["PATH"]]
        self.environment = {**kept, "PATH": ":".join(paths), "NO_COLOR": "1", "COLUMNS": "300", "TERM": "dumb"}
        self.ports = {"8420": str(free_port()), "6379": str(free_port())}
        self.beside: list[tuple[str, str, Terminal]] = []

    def put(self, text: str) -> str:
        """The page's text, with ports that nobody else uses."""
        for usual, own in self.ports.items():
            text = text.replace(usual, own)
        text = re.sub(r"^regiment dashboard$", rf"\g<0> --listen 127.0.0.1:{self.ports['8420']}", text)
        return re.sub(r"^redis-server .*$", rf"\g<0> --port {self.ports['6379']}", text)

    def type(self, block: Block) -> None:
        """Each line behind a `$`, one after the other."""
        for example in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
            line, _, told = (self.put(part) for part in example.partition("\n"))
            if line.startswith("export "):
                name, _, value = line.removeprefix("export ").partition("=")
                self.environment[name] = value
                continue
            terminal = Terminal(self.folder, self.environment, line)
            if "beside" in block.words:
                self.beside.append((line, told, terminal))
                terminal.wait(told.splitlines()[0] if told else "…Ready to accept connections…", 30)
                continue
            said = terminal.wait("")
            terminal.interrupt()
            assert says(said, told), f"$ {line}\n{said}\nthe page tells:\n{told}"

    def leave(self) -> None:
        """A chapter is over: what ran beside it has said what the page says, and is ended."""
        while self.beside:
            line, told, terminal = self.beside.pop()
            said = terminal.wait(told, 30) if told else ""
            if "dashboard" in line:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['8420']}/", timeout=10) as answer:
                    assert "shop" in answer.read().decode()
            terminal.interrupt()
            assert says(said, told), f"$ {line}\n{said}\nthe page tells:\n{told}"


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Person]:
    made = Person(tmp_path)
    yield made
    for _, _, terminal in made.beside:
        terminal.interrupt()


@pytest.mark.slow
def test_who_follows_the_tutorial_sees_what_it_says(person: Person) -> None:
    heading = ""
    for block in blocks():
        if block.heading != heading:
            person.leave()
            heading = block.heading
        kind, *words = block.words
        file = next((word.removeprefix("file=") for word in words if word.startswith("file=")), None)
        if file is not None:
            (person.folder / file).write_text(block.text)
        elif kind == "console":
            person.type(block)
        else:
            assert "setup" in words, f"{block.heading}: a block that nobody types: {block.text}"
    person.leave()


def test_the_tutorial_installs_extras_that_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = re.search(r'"regiment\[(.+)\]"', PAGE.read_text())
    assert named is not None
    assert set(named[1].split(",")) <= set(project["optional-dependencies"])
