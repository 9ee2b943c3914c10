"""The test run itself: what it needs is here, and neither how it was started nor what runs beside it makes a difference."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness import clock, servers
from harness.wait import alive, eventually, state_of, with_variable

ROOT = Path(__file__).parents[2]
BROKEN = b"\xff) Z \xfe"
"""A name of a process that is no UTF-8, and looks like more of a line of /proc than it is."""


@pytest.mark.parametrize("release", ["6.2", "7"])
def test_redis_is_here_in_both_releases(release: str) -> None:
    """Loudly skipped at home, a failure under CI=true."""
    assert servers.release_of(release) in servers.releases()


def test_the_clock_of_a_server_can_be_set_here() -> None:
    assert Path(clock.library()).exists()


PROBE = """
import signal, subprocess, sys

def test_children_have_the_usual_signals():
    code = '''
import signal
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
assert signal.getsignal(signal.SIGHUP) is signal.getsignal(signal.SIGQUIT) is signal.SIG_DFL
'''
    subprocess.run([sys.executable, "-c", code], check=True)

def test_this_process_still_ignores_them():
    signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGHUP)
"""


@pytest.mark.parametrize("lanes", ["0", "2"])
def test_a_run_in_the_background_of_a_script_starts_its_children_with_the_usual_signals(
    tmp_path: Path, lanes: str
) -> None:
    (tmp_path / "conftest.py").write_text((ROOT / "tests/conftest.py").read_text())
    (tmp_path / "test_probe.py").write_text(PROBE)
    line = [sys.executable, "-m", "pytest", "-q", "-n", lanes, "-p", "no:cacheprovider", "."]
    ignored = ["env", "--ignore-signal=INT", "--ignore-signal=HUP", "--ignore-signal=QUIT"]
    done = subprocess.run(
        [*ignored, *line],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests")},
    )
    assert "2 passed" in done.stdout, done.stdout + done.stderr
    first = done.stdout.splitlines()[: len(servers.releases()) or 1]
    assert all(line.startswith("redis-server ") for line in first), "the first lines say which"


def test_a_process_with_a_broken_name_is_seen_as_any_other() -> None:
    mark = f"REGIMENT_TEST_NAMED={os.getpid()}"
    name, _, value = mark.partition("=")
    code = f"import ctypes, time; ctypes.CDLL(None).prctl(15, {BROKEN!r}, 0, 0, 0); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, name: value})
    try:
        comm = Path(f"/proc/{process.pid}/comm")
        eventually(lambda: comm.read_bytes().rstrip(b"\n") == BROKEN, 20, "its name is broken")
        assert alive(process.pid) and state_of(process.pid) in ("S", "R")
        assert with_variable(mark) == [process.pid]
    finally:
        process.kill()
        process.wait()
    assert not alive(process.pid)


def test_nobody_reads_the_line_of_a_process_as_text() -> None:
    """The name of a process in /proc/PID/stat is any bytes. Every process of the machine may be the one that has such."""
    text = re.compile(r"""/proc/\{[^}]*\}/(stat|status|comm|cmdline|environ)["'].*\)\.read(_text)?\(""")
    own = re.compile(r"""read_bytes\(|"rb"|/proc/self/""")
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for folder in ("tests", "benchmark")
        for path in (ROOT / folder).rglob("*.py")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if text.search(line) and not own.search(line)
    ]
    assert not found, "read_bytes() instead:\n" + "\n".join(found)
