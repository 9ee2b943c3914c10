"""Rows 15 and 33 of the fault matrix: what a task has forked ends with its worker, and a fork harms nobody."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.site import Site
from harness.wait import alive, children, eventually
from regiment_runner.shared.descendants import Descendants, mark_of

FORKS = '''
import subprocess

def daemon():
    """As daemons are made: fork, setsid, fork; the pid of the grandchild comes through a pipe."""
    read, write_end = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.write(write_end, str(os.getpid()).encode())
            os.close(1)
            time.sleep(60)
        os._exit(0)
    os.wait()
    return int(os.read(read, 20))


@work.task
def breeds(n, hang):
    begin(n)
    pids = [subprocess.Popen(["sleep", "60"]).pid,
            subprocess.Popen(["sleep", "60"], start_new_session=True).pid,
            subprocess.Popen(["sh", "-c", "sleep 61 & sleep 62 & wait"], start_new_session=True,
                             env={"PATH": os.environ["PATH"]}).pid,
            daemon()]
    write("C", n, *pids)
    if hang == "regex":
        re.match(r"(a+)+$", "a" * 40 + "b")
    elif hang == "crash":
        os._exit(3)
    elif hang == "sleep":
        time.sleep(60)
    elif hang == "leave":
        current().respawn(done=True)
    end(n)
'''


def bred(site: Site, n: int) -> list[int]:
    """The pids that the task has written down."""
    found = site.until(lambda books: any(words[:2] == ["C", str(n)] for words in books.words), 10)
    return next([int(word) for word in words[2:]] for words in found.words if words[:2] == ["C", str(n)])


def grandchildren(pids: list[int]) -> list[int]:
    """They and their own children."""
    return pids + [child for pid in pids for child in children(pid)]


@pytest.mark.fault(15)
@pytest.mark.parametrize(
    ("how", "settings"),
    [
        (
            "regex",
            "killer='process', executor=Use('threaded', threads=2), timeouts=Timeouts(0.5, grace=0.2)",
        ),
        ("crash", "max_deliveries=1"),
        ("leave", ""),
        ("sleep", "timeouts=Timeouts(soft=0.5)"),
    ],
    ids=["struck", "crashed", "recycled", "softly struck"],
)
def test_no_descendant_of_a_task_outlives_its_end_by_two_seconds(site: Site, how: str, settings: str) -> None:
    site.app(settings, body=FORKS)
    tree = site.tree()
    n = site.push("breeds", hang=how)
    family = grandchildren(bred(site, n))
    assert len(family) >= 6 or how == "crash"  # the crash may be over before this look
    worker = site.books().starts[n][0].pid
    eventually(
        lambda: not any(alive(pid) for pid in family),
        4.0,
        lambda: [pid for pid in family if alive(pid)],
    )
    assert (how == "sleep") == alive(worker), "only a soft strike keeps the worker"
    assert tree.stop() == 0


@pytest.mark.fault(15)
def test_descendants_end_with_a_killed_worker_and_with_a_killed_supervisor(site: Site) -> None:
    site.app("max_deliveries=9", body=FORKS)
    tree = site.tree(workers=2)
    first = site.push("breeds", hang="sleep")
    family = grandchildren(bred(site, first))
    os.kill(site.books().starts[first][0].pid, signal.SIGKILL)
    eventually(lambda: not any(alive(pid) for pid in family), 2.0, "the killed worker's are gone")
    again = site.until(lambda books: len([w for w in books.words if w[0] == "C"]) == 2, 10).words[-1]
    family = grandchildren([int(word) for word in again[2:]])
    tree.kill()
    eventually(lambda: not any(alive(pid) for pid in family), 2.0, "the killed supervisor's are gone")


@pytest.mark.fault(15)
def test_the_orphans_of_a_worker_that_lives_go_on_and_leave_no_zombie(site: Site) -> None:
    site.app("", body=FORKS)
    tree = site.tree()
    n = site.push("breeds", hang="")
    site.ended(n)
    family = bred(site, n)
    time.sleep(0.3)
    assert all(alive(pid) for pid in family)
    os.kill(family[-1], signal.SIGKILL)  # the daemon, whose parent is the supervisor now
    eventually(lambda: not Path(f"/proc/{family[-1]}").exists(), 2.0, "it is reaped")
    assert tree.stop() == 0
    eventually(lambda: not any(alive(pid) for pid in family), 2.0, "they end with the worker")


HOST = """
import os, subprocess, sys, threading, time
from regiment_runner import Supervisor
mine = [subprocess.Popen(["sleep", "30"]), subprocess.Popen(["sleep", "30"], start_new_session=True)]
subprocess.run(["sh", "-c", "sleep 30 > /dev/null 2>&1 &"])
code = Supervisor(["app:work"], burst=True, app_dir=sys.argv[1]).run()
print(code, [child.poll() for child in mine])
for child in mine:
    child.kill()
    child.wait()
"""


@pytest.mark.fault(15)
def test_a_program_that_supervises_keeps_its_own_children(site: Site) -> None:
    site.app("max_deliveries=1, lease=30", body=FORKS)
    site.push("breeds", hang="crash")
    variables = {**os.environ, "XDG_RUNTIME_DIR": str(site.runtime)}
    host = subprocess.run(
        [sys.executable, "-c", HOST, str(site.folder)],
        env=variables,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=site.folder,
    )
    assert host.stdout.splitlines()[-1] == "1 [None, None]", host.stdout + host.stderr


def test_a_mark_is_seen_of_a_process_that_has_shed_everything_else(tmp_path: Path) -> None:
    mine = Descendants()
    pid = os.fork()
    if pid == 0:
        mine.wear(5)
        os.setsid()
        os.execve("/bin/sleep", ["sleep", "20"], {})
    try:
        eventually(lambda: mark_of(pid) == mine.tag << 20 | 5, 5, "it wears the mark")
        assert mine.look([pid], []) == 0, "what is known is left alone"
        assert mine.look([], [5]) == 0, "the orphans of a living worker are left alone"
        assert Descendants().look([], []) == 0, "another tree's are left alone"
        assert mine.look([], []) == 1
        eventually(lambda: mine.look([], []) == 0 and not Path(f"/proc/{pid}").exists(), 5, "it is reaped")
    finally:
        if Path(f"/proc/{pid}").exists():
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


FORKING = """
import sqlite3

@work.task
def forks(n, how):
    begin(n)
    pid = os.fork()
    if pid == 0:
        if how == "pushes":
            nap.options(id=f"child-{n}").push(n=1000 + n)
            os._exit(0)
        if how == "returns":
            return
        if how == "raises":
            raise ValueError("in the child")
    _, status = os.waitpid(pid, 0)
    nap.push(n=2000 + n)
    write("W", n, status)
    end(n)
"""


@pytest.mark.fault(33)
@pytest.mark.parametrize("how", ["pushes", "returns", "raises"])
def test_a_task_may_fork_and_its_child_is_no_worker(site: Site, how: str) -> None:
    site.app("tasks_per_transaction=5, max_retries=0", hooks=True, body=FORKING)
    tree = site.tree()
    numbers = [site.push("forks", how=how) for _ in range(10)]
    site.ended(*numbers, within=20)
    site.store.quiet(10)
    books = site.books()
    for n in numbers:
        assert [told.outcome for told in books.told[n]] == ["success"], "the child told nothing"
        assert len(books.ends[n]) == 1
        assert len(books.ends[2000 + n]) == 1, "the parent's connection is whole"
        assert len(books.ends[1000 + n]) == (how == "pushes")
    assert len(tree.workers()) == 1
    assert tree.stop() == 0
    with sqlite3.connect(site.folder / "queue.db") as database:
        assert database.execute("pragma integrity_check").fetchone() == ("ok",)
