"""CpuKiller sits the examination, and knows computing from waiting."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from regiment_cpu.killer import CpuKiller

from regiment.contracts import Place
from regiment.errors import TaskTimeout
from regiment_testing.contracts import KillerContract
from regiment_testing.contracts.striking import Bed

ENDED = 2
"""Another phase than that of a task which runs."""

APP = """
import time

from regiment import Queue, Timeouts, Use

jobs = Queue(
    "jobs", connector="sqlite:///{folder}/queue.db", killer=Use("cpu", seconds=0.3), timeouts=Timeouts(60),
    max_retries=0,
)

@jobs.task
def compute():
    while True:
        pass

@jobs.task
def wait():
    time.sleep(0.7)
    print("waited", flush=True)
"""


class TestCpuKiller(KillerContract):
    @pytest.fixture
    def killer(self) -> CpuKiller:
        return CpuKiller()


class TestBudget:
    @pytest.fixture
    def killer(self) -> CpuKiller:
        return CpuKiller(seconds=0.1)

    @pytest.fixture
    def bed(self, killer: CpuKiller, tmp_path: Path) -> Callable[[Place], Bed]:
        return lambda place: Bed(tmp_path / "page", killer, place)

    def test_a_task_that_computes_is_stopped_when_its_budget_is_used_up(
        self, killer: CpuKiller, bed: Callable[[Place], Bed]
    ) -> None:
        bed("main").page.start(0, 1, b"", time.monotonic_ns())
        began = time.process_time()
        said = r"used 0\.\d+ s of processor time; its budget is 0\.1 s"
        with pytest.raises(TaskTimeout, match=said), killer.guard(0, 60.0, None):
            while time.process_time() < began + 20:
                pass
        assert time.process_time() - began >= 0.1

    def test_a_task_that_waits_is_not(self, killer: CpuKiller, bed: Callable[[Place], Bed]) -> None:
        bed("main").page.start(0, 1, b"", time.monotonic_ns())
        with killer.guard(0, 60.0, None):
            time.sleep(0.3)

    def test_each_task_has_a_budget_of_its_own(self, killer: CpuKiller, bed: Callable[[Place], Bed]) -> None:
        page = bed("main").page
        for number in range(1, 6):
            page.start(0, number, b"", time.monotonic_ns())
            began = time.process_time()
            with killer.guard(0, 60.0, None):
                while time.process_time() < began + 0.06:
                    pass

    def test_nothing_is_struck_after_the_end_of_the_work(self, killer: CpuKiller, bed: Callable[[Place], Bed]) -> None:
        """Neither within the guard nor behind it, where handlers run."""
        one = bed("main")
        one.page.start(0, 1, b"", time.monotonic_ns())
        began = time.process_time()
        with killer.guard(0, 60.0, None):
            one.page.words[one.at] = 1 << 3 | ENDED
            while time.process_time() < began + 0.2:
                pass
        while time.process_time() < began + 0.4:
            pass


def test_in_a_worker_one_that_computes_times_out_and_one_that_waits_does_not(
    tmp_path: Path,
) -> None:
    (tmp_path / "app.py").write_text(APP.format(folder=tmp_path))

    def regiment(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "regiment", *words]
        return subprocess.run(command, cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True, check=False)

    for name in ("compute", "wait"):
        pushed = regiment("push", f"app:{name}")
        assert pushed.returncode == 0, pushed.stderr
    ran = regiment("run", "app", "--burst")
    assert "waited" in ran.stdout, ran.stderr
    dead = json.loads(regiment("dead", "list", "jobs", "-A", "app", "--json").stdout)
    assert "its budget is 0.3 s" in json.dumps(dead)
    assert '"wait"' not in json.dumps(dead)


@pytest.mark.parametrize("seconds", [0, 0.01, -1, True, "2"])
def test_a_budget_that_cannot_be_is_said_in_words(seconds: object) -> None:
    [problem] = CpuKiller.check({"seconds": seconds})
    assert problem == f"seconds is {seconds!r}; expected seconds of processor time, at least 0.05"
