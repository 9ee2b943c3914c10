"""Rows 23 and 27 to 32 of the fault matrix: the supervisor, its signals, and processes that are gone."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.each_store import on_each_store
from harness.ledger import boot_ns
from harness.scale import seeds, size
from harness.site import Site
from harness.wait import alive, descriptors, eventually, state_of, took, with_variable

SPINNING = """
import os
from regiment import Queue
q = Queue("spinning")

@q.task
def crash():
    os._exit(1)
"""

NEVER_ENDING = """
import os, pathlib, re
from regiment.hooks import hookimpl

@hookimpl
def regiment_worker_ended(end):
    pathlib.Path("made").write_text(str(os.getpid()))
    pathlib.Path("made").rename("keeper")
    re.match("(a+)+$", "a" * 60 + "b")
"""


@pytest.mark.fault(23)
@on_each_store
@pytest.mark.parametrize("batch", [1, 100])
@pytest.mark.parametrize("seed", seeds(1))
def test_nothing_of_a_tree_is_left_a_second_after_its_supervisor_was_killed(site: Site, seed: int, batch: int) -> None:
    chance = random.Random(seed)
    site.app(f"tasks_per_transaction={batch}, lease=30")
    tree = site.tree(workers=3)
    numbers = site.push_many([{"seconds": 0.005}] * 800)
    time.sleep(chance.uniform(0.1, 0.8))  # the random moment is the row itself
    tree.kill()
    next_one = site.tree(workers=3, ready=False)  # may start at once
    eventually(
        lambda: not [pid for pid in with_variable(site.mark) if os.getpgid(pid) == tree.pid],
        1.0,
        "no orphan",
    )
    next_one.ready(3)
    site.ended(*numbers, within=20)
    books = site.settle(5, extra_starts=3, extra_ends=3)
    assert all(line.delivery == 0 for lines in books.starts.values() for line in lines)
    assert next_one.stop() == 0


@pytest.mark.fault(23)
@on_each_store
def test_a_stopped_keeper_goes_on_when_its_supervisor_was_killed_and_gives_back(site: Site) -> None:
    site.app("lease=30")
    tree = site.tree(workers=1)
    (number,) = site.push_many([{"seconds": 1.0}])
    site.until(lambda books: number in books.starts, 10)
    keeper = tree.keeper()
    os.kill(keeper, signal.SIGSTOP)
    tree.kill()
    eventually(lambda: not alive(keeper), 3.0, "no orphan")
    next_one = site.tree(workers=1)
    site.ended(number, within=20)
    site.settle(5, extra_starts=1, extra_ends=1)
    assert next_one.stop() == 0


@pytest.mark.fault(23)
def test_a_keeper_whose_hook_never_ends_does_not_outlive_its_supervisor(tmp_path: Path) -> None:
    (tmp_path / "spinning.py").write_text(SPINNING)
    (tmp_path / "watching.py").write_text(NEVER_ENDING)
    command = [Path(sys.executable).parent / "regiment", "--plugin", "watching"]
    subprocess.run([*command, "push", "spinning:crash"], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    tree = subprocess.Popen([*command, "run", "spinning", "--log-format", "off"], cwd=tmp_path)
    eventually((tmp_path / "keeper").exists, 20.0, "the hook")
    keeper = int((tmp_path / "keeper").read_text())
    tree.kill()
    tree.wait()
    eventually(lambda: not alive(keeper), 30.0, "no orphan")


@pytest.mark.fault(23)
@on_each_store
def test_a_whole_tree_killed_at_once_costs_what_it_had_leased_and_nothing_is_lost(
    site: Site,
) -> None:
    site.app("tasks_per_transaction=10, lease=1, recheck=0.2, poison_delays=(0.0,)")
    tree = site.tree(workers=2)
    numbers = []
    for _ in range(size(2, 20)):
        numbers += site.push_many([{"seconds": 0.005}] * 300)
        before = len(site.books().ends)
        site.until(lambda books: len(books.ends) > before + 20, 10)
        for pid in [tree.keeper(), *tree.workers(), tree.pid]:
            with contextlib.suppress(ProcessLookupError):  # one that its parent's death was quicker for
                os.kill(pid, signal.SIGKILL)
        tree.process.wait()
        tree = site.tree(workers=2)
    site.ended(*numbers, within=30)
    kills = size(2, 20)
    site.settle(10, extra_starts=kills * 20, extra_ends=kills * 20)


@pytest.mark.fault(27)
@on_each_store
def test_sigterm_finishes_what_runs_and_puts_the_rest_back_in_front_uncounted(site: Site) -> None:
    site.app("tasks_per_transaction=5, lease=3, give_back_after=None")
    tree = site.tree(workers=2, stop_timeout=5)
    numbers = site.push_many([{"seconds": 1.0}] * 10)
    later = site.push_many([{}] * 5)
    # Two workers that reach for the same head take different tasks, and not always the first ten.
    books = site.until(lambda books: len({n for n, *_ in books.running} & set(numbers)) == 2, 10)
    runs = {n for n, *_ in books.running} | books.ends.keys() & set(numbers)
    tree.send(signal.SIGTERM)
    told = boot_ns()
    assert tree.end(5) == 0
    assert took(told) < 2.5
    books = site.books()
    assert set(books.ends) & set(numbers) == runs
    assert not books.running
    waits = site.store.peek()
    assert sorted(waits) == sorted((n, 0) for n in [*numbers, *later] if n not in books.ends)
    assert waits == sorted(waits), "what came back stands in front"
    counts = site.store.counts()
    assert (counts.leased, counts.delayed, counts.ready) == (0, 0, len(waits))


@pytest.mark.fault(27)
@on_each_store
def test_what_runs_beyond_the_stop_timeout_is_killed_and_given_back_and_the_exit_says_so(
    site: Site,
) -> None:
    site.app("tasks_per_transaction=5, give_back_after=None")
    tree = site.tree(workers=2, stop_timeout=1)
    numbers = site.push_many([{"seconds": 30}] * 10)
    site.started(numbers[0], numbers[5])
    tree.send(signal.SIGTERM)
    told = boot_ns()
    assert tree.end(10) == 8
    assert 1 <= (boot_ns() - told) / 1e9 and took(told) < 2
    assert site.store.peek() == [(n, 0) for n in numbers]
    assert site.store.counts().leased == 0


@pytest.mark.fault(27)
@on_each_store
def test_nothing_is_leased_a_tenth_of_a_second_after_sigterm(site: Site) -> None:
    site.app("tasks_per_transaction=1, recheck=60")
    tree = site.tree(workers=3)
    numbers = site.push_many([{"seconds": 0.02}] * 500)
    site.started(numbers[20])
    tree.send(signal.SIGTERM)
    told = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    assert tree.end(10) == 0
    late = [n for n, lines in site.books().starts.items() if lines[-1].at - told > 0.1e9]
    assert not late
    assert site.store.counts().leased == 0


@pytest.mark.fault(28)
@pytest.mark.parametrize("how", ["double", "triple", "group", "terminal"])
def test_signals_within_a_second_are_the_same_signal(site: Site, how: str) -> None:
    site.app("tasks_per_transaction=5")
    for _ in range(size(1, 125)):
        tree = site.tree(workers=2, stop_timeout=10)
        numbers = site.push_many([{"seconds": 0.5}] * 2)
        site.started(*numbers)
        for _ in range(3 if how == "triple" else 2):
            if how in ("group", "terminal"):  # Ctrl-C goes to everyone in the group, too
                os.killpg(tree.pid, signal.SIGTERM if how == "group" else signal.SIGINT)
            else:
                tree.send(signal.SIGTERM)
            time.sleep(0.02)  # the distance of the signals is the row itself
        assert tree.end(5) == 0
        assert "reentrant" not in tree.text() and "Traceback" not in tree.text()
    site.settle(1)


@pytest.mark.fault(28)
def test_a_later_signal_stops_now_and_still_gives_everything_back(site: Site) -> None:
    site.app("tasks_per_transaction=5, give_back_after=None")
    tree = site.tree(workers=2, stop_timeout=60)
    numbers = site.push_many([{"seconds": 30}] * 10)
    site.started(numbers[0], numbers[5])
    tree.send(signal.SIGTERM)
    time.sleep(1.05)  # beyond the second within which it is the same signal
    tree.send(signal.SIGTERM)
    second = boot_ns()
    assert tree.end(5) == 8
    assert took(second) < 1.0
    assert site.store.peek() == [(n, 0) for n in numbers]


@pytest.mark.fault(28)
def test_a_signal_before_anything_is_ready_ends_the_tree(site: Site) -> None:
    site.app()
    n = site.push()
    for wait in (0.05, 0.3, 0.5, 0.7):
        tree = site.tree(workers=2, ready=False)
        if wait > 0.05:
            eventually(lambda: tree.folder.name != "none", 10)
            time.sleep(wait - 0.3)  # somewhere in the start of the workers
            assert tree.stop(5) == 0
        else:
            tree.send(signal.SIGTERM)
            tree.end(5)
    assert site.store.counts().leased == 0
    books = site.books()
    assert n in books.ends or site.store.peek() == [(n, 0)]


@pytest.mark.fault(29)
@pytest.mark.parametrize("whom", ["supervisor", "worker"])
def test_a_storm_of_signals_stops_nothing(site: Site, whom: str) -> None:
    site.app("tasks_per_transaction=10, recheck=0.2")
    tree = site.tree(workers=2, level="DEBUG")
    numbers = site.push_many([{"seconds": 0.002}] * size(600, 10_000))
    until, storm = time.monotonic() + size(2, 60), 0
    if whom == "supervisor":
        kinds = [signal.SIGCHLD, signal.SIGUSR1, signal.SIGCHLD, signal.SIGCHLD]
    else:
        kinds = [signal.SIGCHLD, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1]
    while time.monotonic() < until:
        for pid in [tree.pid] if whom == "supervisor" else tree.workers():
            kind = kinds[storm % len(kinds)]
            if kind != signal.SIGUSR1 or storm % 400 == 1:  # each dump of stacks takes the supervisor 0.2 s
                os.kill(pid, kind)
        storm += 1
        time.sleep(0.001)
    site.ended(*numbers, within=30)
    site.settle(10)
    assert tree.stop() == 0
    assert "Traceback" not in tree.text()


@pytest.mark.fault(29)
def test_a_storm_of_signals_while_the_tree_ends_is_one_stop(site: Site) -> None:
    site.app("tasks_per_transaction=5")
    for _ in range(size(1, 60)):
        tree = site.tree(workers=2, level="DEBUG", stop_timeout=10)
        numbers = site.push_many([{"seconds": 0.7}] * 2)
        site.started(*numbers)
        tree.send(signal.SIGTERM)
        first, storm = time.monotonic(), 0
        kinds = [signal.SIGTERM, signal.SIGCHLD, signal.SIGINT, signal.SIGUSR2]
        while time.monotonic() < first + 0.6:  # beyond a second it is another stop
            tree.send(kinds[storm % 4])
            storm += 1
            time.sleep(0.001)
        assert tree.end(5) == 0
        assert all(n in site.books().ends for n in numbers)
        assert "Traceback" not in tree.text()
    site.settle(1)


@pytest.mark.fault(30)
def test_a_process_that_has_the_pid_of_a_dead_worker_is_never_signalled(site: Site) -> None:
    """The worker is struck; another process takes its pid before the supervisor acts on its death."""
    site.app("timeouts=Timeouts(0.3, grace=0.2), recheck=0.2")
    tree = site.tree(workers=1)
    (pid,) = tree.workers()
    os.kill(tree.pid, signal.SIGSTOP)  # it shall notice late
    n = site.push("deaf")
    site.started(n)
    os.kill(pid, signal.SIGKILL)
    # The zombie holds its pid until the supervisor reaps it, so nobody can have it while it may still be struck.
    eventually(lambda: state_of(pid) == "Z", 2)
    time.sleep(0.6)  # its deadline passes meanwhile
    os.kill(tree.pid, signal.SIGCONT)
    eventually(lambda: state_of(pid) is None, 2, "reaped")
    _take(pid)
    try:
        site.store.quiet(15)
        tree.ready(1)
        assert tree.workers() != [pid]
        assert alive(pid), "the process with a dead worker's pid was signalled"
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _take(pid: int) -> None:
    """A child of ours with that pid, sleeping with every signal at its default; the kernel lets root name the next pid."""
    for _ in range(200):
        try:
            with open("/proc/sys/kernel/ns_last_pid", "w") as last:
                last.write(str(pid - 1))
        except OSError as error:
            pytest.skip(f"the next pid cannot be named here: {error}")
        child = os.posix_spawn("/bin/sleep", ["sleep", "60"], os.environ)
        if child == pid:
            return
        os.kill(child, signal.SIGKILL)  # somebody else was quicker
        os.waitpid(child, 0)
    pytest.skip(f"another process has {pid}")


@pytest.mark.fault(31)
def test_dead_workers_are_reaped_and_replaced_within_a_second_and_no_descriptor_stays(
    site: Site,
) -> None:
    site.app("recheck=0.2")
    tree = site.tree(workers=2)
    keeper = tree.keeper()
    for _ in range(2):  # what is loaded at the first death is not counted
        first = tree.ready(2)[0]
        os.kill(first, signal.SIGKILL)
        eventually(lambda: state_of(first) is None, 1.0, "reaped")
        tree.ready(2)
    eventually(lambda: len(list(tree.folder.glob("*.page"))) == 2, 5, "the keeper has acknowledged")
    before = (descriptors(tree.pid), descriptors(keeper))
    for _ in range(size(5, 200)):
        victim = tree.ready(2)[0]
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: state_of(victim) is None, 1.0, "reaped")
        tree.ready(2)
    eventually(
        lambda: (descriptors(tree.pid), descriptors(keeper)) == before,
        2,
        lambda: f"{before} before",
    )
    assert len(list(tree.folder.glob("*.page"))) == 2, "pages of the dead are gone"


@pytest.mark.fault(32)
def test_a_supervisor_outside_the_main_thread_refuses_in_words(site: Site) -> None:
    """Children are tied to the thread that forked them: one that can end before its process is refused."""
    site.app()
    code = f"""
import threading
from regiment_runner import Supervisor
def short():
    try:
        Supervisor("app:work", app_dir={str(site.folder)!r}).run()
    except Exception as error:
        print(type(error).__name__, error)
thread = threading.Thread(target=short, name='short')
thread.start()
thread.join()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.stdout == (
        "RegimentError Supervisor.run() was called in the thread 'short'; call it in the main thread, "
        "or run it as a process of its own: regiment run\n"
    )
