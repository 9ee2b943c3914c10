"""`regiment demo`, as a person sees it: once to its end with a worker killed, once interrupted on a terminal."""

from __future__ import annotations

import csv
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner

from regiment_console.demo import demo

pytestmark = pytest.mark.slow

REGIMENT = [sys.executable, "-m", "regiment"]


class Ran(NamedTuple):
    code: int
    text: str
    folder: Path
    killed: int


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    """One demo, of which one worker was killed with SIGKILL as soon as its pid was told."""
    folder = tmp_path_factory.mktemp("demo") / "kept"
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "random.py").write_text("raise RuntimeError('a module of the folder we are in')\n")
    process = subprocess.Popen(
        [*REGIMENT, "demo", "--keep", str(folder)],
        cwd=elsewhere,
        env={**os.environ, "PYTHONSAFEPATH": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    lines, killed = [], 0
    for line in process.stdout:
        lines.append(line)
        offered = re.search(r"kill -9 (\d+)", line)
        if offered:
            killed = int(offered[1])
            os.kill(killed, signal.SIGKILL)
    yield Ran(process.wait(), "".join(lines), folder, killed)


def test_every_file_is_a_result_or_a_dead_letter_although_a_worker_was_killed(ran: Ran) -> None:
    assert ran.code == 0, ran.text
    queued = int(re.search(r"([\d,]+) Python files", ran.text)[1].replace(",", ""))  # type: ignore[index]
    with open(ran.folder / "results.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    parsed = {row["file"] for row in rows}
    dead = int(re.search(r"^ +(\d+) dead letters$", ran.text, re.M)[1])  # type: ignore[index]
    assert len(parsed) + dead == queued + 1  # and the endless one
    assert len(rows) - len(parsed) <= 1  # one kill runs one task twice at most
    assert sum(int(row["functions"]) for row in rows) > 10_000


def test_the_summary_tells_what_was_done_and_what_was_killed(ran: Ran) -> None:
    assert re.search(r"tasks in [\d.]+ s: [\d,]+ tasks/s with 2 workers", ran.text)
    assert f"worker {ran.killed} ended: killed by SIGKILL" in ran.text
    assert re.search(r"worker \d+ took its place", ran.text)
    assert "stopped at its limit of 1 s" in ran.text
    assert re.search(r"^ +\d+  SyntaxError", ran.text, re.M)
    assert re.search(r"^ +1  timeout: ", ran.text, re.M)
    assert re.search(r"^ +[01] duplicates run", ran.text, re.M)
    assert "1 worker killed and replaced" in ran.text
    assert re.search(r"^[\d,]+ of [\d,]+ tasks, [\d,]+/s, \d+ dead letters$", ran.text, re.M)


def test_the_commands_to_type_next_work(ran: Ran) -> None:
    offered = ran.text.partition("now try:\n")[2].strip().splitlines()
    assert len(offered) == 3
    answers = []
    for line in offered:
        words = shlex.split(line)
        words = words[words.index("regiment") + 1 :]
        told = subprocess.run([*REGIMENT, *words], capture_output=True, text=True, check=False)
        assert told.returncode == 0, told.stderr
        answers.append(told.stdout)
    assert "SyntaxError" in answers[0] and "timeout" in answers[0]
    assert "match_forever" in answers[1]
    assert "demo" in answers[2]


def test_a_folder_or_queue_that_is_in_use_is_left_alone(ran: Ran) -> None:
    url = f"sqlite:///{ran.folder}/queue.db"
    for options, message in (
        (["--keep", str(ran.folder)], "holds the results of an earlier demo"),
        (["--connector", url], f'the queue "demo" of {url} holds'),
        (["--connector", "memory:"], "lives in one process"),
    ):
        told = subprocess.run([*REGIMENT, "demo", *options], capture_output=True, text=True, check=False)
        assert told.returncode == 2 and message in told.stderr


def test_two_broken_files_are_planted_where_the_library_has_none_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = tmp_path / "lib" / "package"
    library.mkdir(parents=True)
    (library / "good.py").write_text("class A:\n    def f(self): ...\n")
    (library / "bad_name_good_code.py").write_text("import os\n")
    stranger = tmp_path / "lib" / "site-packages"
    stranger.mkdir()
    (stranger / "not_ours.py").write_text("x = 1\n")
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path / "lib"))
    told = CliRunner().invoke(demo, ["--keep", str(tmp_path / "kept"), "--workers", "1"])
    assert told.exit_code == 0, told.output
    assert "4 Python files" in told.output
    assert f"planted in {tmp_path}/kept/planted: this library has none" in told.output
    assert re.search(r"^ +2 files parsed: 3 lines, 1 classes, 1 functions$", told.output, re.M)
    assert re.search(r"^ +2  SyntaxError, such as: .*(no_colon|half)\.py", told.output, re.M)
    rows = (tmp_path / "kept" / "results.csv").read_text().splitlines()
    assert rows[0] == "file,lines,classes,functions,imports"
    assert f'"{library}/good.py",2,1,1,0' in rows


def test_on_a_terminal_there_is_a_bar_and_what_an_interrupt_leaves_is_said_and_kept(
    tmp_path: Path,
) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [*REGIMENT, "demo", "--keep", str(tmp_path / "kept")])
    text, asked = b"", False
    while True:
        try:
            data = os.read(terminal, 65536)
        except OSError:
            break
        text += data
        if b"are at work" in text and b"[#" in text and not asked:
            asked = True
            os.write(terminal, b"\x03")
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(terminal)
    told = text.decode()
    assert code == 1, told
    assert re.search(r"\[#+-+\] [\d,]+ of [\d,]+ tasks", told)
    left = re.search(r"([\d,]+) of [\d,]+ tasks are not done", told)
    assert left is not None, told
    url = f"sqlite:///{tmp_path}/kept/queue.db"
    queues = subprocess.run(
        [*REGIMENT, "queues", "list", "--json", "--connector", url],
        capture_output=True,
        text=True,
        check=True,
    )
    assert f'"ready": {left[1].replace(",", "")}' in queues.stdout
