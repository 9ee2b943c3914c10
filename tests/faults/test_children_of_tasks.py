"""What a task starts is an ordinary process: signals mean what they mean outside of regiment, standard streams are there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from harness.site import Site
from harness.wait import eventually

STARTS = '''
import multiprocessing, subprocess

SIGNALS = ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2")


@work.task
def programs(n):
    """Each signal ends a program that is started now."""
    begin(n)
    for name in SIGNALS:
        program = subprocess.Popen(["sleep", "30"])
        time.sleep(0.1)
        program.send_signal(getattr(signal, name))
        write("X", name, program.wait(5))
    end(n)


def waits():
    time.sleep(30)


@work.task
def forks(n):
    """Each signal ends a process that is forked now."""
    begin(n)
    for name in SIGNALS:
        child = multiprocessing.get_context("fork").Process(target=waits)
        child.start()
        time.sleep(0.1)
        os.kill(child.pid, getattr(signal, name))
        child.join(5)
        write("X", name, child.exitcode)
    end(n)


@work.task
def pool(n):
    """A pool ends although its worker is busy."""
    begin(n)
    with multiprocessing.get_context("fork").Pool(1) as made:
        made.apply_async(waits)
        time.sleep(0.2)
    end(n)


@work.task
def resets(n):
    begin(n)
    signal.signal(signal.SIGRTMIN + 5, signal.SIG_DFL)
    while True:
        time.sleep(0.05)


@work.task
def becomes(n):
    begin(n)
    os.execv("/bin/sleep", ["sleep", "60"])


@work.task
def closes(n):
    begin(n)
    for fd in (0, 1, 2):
        os.close(fd)
    end(n)
'''
THREADS = "executor=Use('threaded', threads=2)"


@pytest.mark.parametrize("settings", ["", THREADS])
@pytest.mark.parametrize("task", ["programs", "forks"])
def test_every_signal_ends_what_a_task_has_started(site: Site, task: str, settings: str) -> None:
    site.app(f"recheck=0.2, {settings}", body=STARTS)
    site.tree()
    n = site.push(task)
    books = site.ended(n, within=20)
    told = {words[1]: words[2] for words in books.words if words[0] == "X"}
    for name in ("SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2"):
        assert told[name] == str(-getattr(signal, name)), told
    # Python makes a KeyboardInterrupt of it, which ends a child with 1.
    assert told["SIGINT"] in (("1",) if task == "forks" else (str(-signal.SIGINT),)), told


def test_a_pool_of_processes_ends_although_its_worker_is_busy(site: Site) -> None:
    site.app("recheck=0.2, timeouts=Timeouts(10)", body=STARTS)
    site.tree()
    n = site.push("pool")
    site.ended(n, within=5)


@pytest.mark.parametrize("task", ["resets", "becomes"])
def test_a_task_whose_process_dies_of_its_soft_strike_is_one_timeout(site: Site, task: str) -> None:
    site.app("recheck=0.2, timeouts=Timeouts(0.5, grace=5)", hooks=True, body=STARTS)
    tree = site.tree()
    n = site.push(task)
    eventually(lambda: n in site.store.dead(), 10, site.logs)
    books = site.books()
    assert len(books.starts[n]) == 1
    assert [told.outcome for told in books.told[n]] == ["timeout", "dead"]
    reason = site.store.dead()[n]
    assert reason["kind"] == "timeout" and reason["evidence"]["rung"] == "soft"
    assert tree.event("worker.crashed")["reason"] == "killed for a task past its limit"


def test_stacks_that_are_asked_for_of_a_worker_that_became_another_program_count_no_delivery(
    site: Site,
) -> None:
    site.app("recheck=0.2", body=STARTS)
    tree = site.tree()
    n = site.push("becomes")
    site.started(n)
    eventually(lambda: b"sleep" in open(f"/proc/{site.books().starts[n][0].pid}/cmdline", "rb").read(), 5)
    tree.send(signal.SIGUSR1)
    books = site.until(lambda books: len(books.starts[n]) == 2, 10)
    assert [line.delivery for line in books.starts[n]] == [0, 0]
    tree.kill()


def test_a_task_may_close_the_standard_descriptors(site: Site) -> None:
    site.app("recheck=0.2", body=STARTS)
    tree = site.tree()
    n = site.push("closes")
    other = site.push("nap")
    site.ended(n, other)
    site.settle(5, extra_starts=0)
    assert tree.stop() == 0
    assert not tree.events("worker.crashed")


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_run_and_push_work_with_standard_descriptors_closed(site: Site, closed: tuple[int, ...]) -> None:
    target = site.app("recheck=0.2, lease=30")
    line = [sys.executable, "-m", "regiment"]
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(site.runtime)}

    def run(*words: str) -> int:
        shell = " ".join(["exec", '"$@"', *(f"{fd}>&-" for fd in closed)])
        return subprocess.run(
            ["sh", "-c", shell, "sh", *line, *words],
            cwd=site.folder,
            env=environment,
            timeout=30,
            capture_output=True,
        ).returncode

    assert run("push", "app:nap", "n:=7") == 0
    assert site.store.peek() == [(7, 0)]
    assert run("run", target, "--burst") == 0
    assert 7 in site.books().ends
