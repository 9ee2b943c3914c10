"""Rows 1, 20 to 22 of the fault matrix, and what else a supervisor owes: ends told apart, crash loops, scaling."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import threading
import time

import pytest

from harness.ledger import boot_ns
from harness.scale import size
from harness.site import Site
from harness.wait import alive, descriptors, eventually, took

LEAKS = '''
import errno
SOCKETS = []


@work.task
def leak(n):
    """Ten sockets, of which none is dropped."""
    begin(n)
    for _ in range(10):
        SOCKETS.append(socket.socket())
    end(n)


@work.on("failure")
def failed(task, exception):
    write("F", task.kwargs["n"], getattr(exception, "errno", 0) == errno.EMFILE)
'''


def resident(pid: int) -> int:
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.fault(20)
def test_a_worker_without_descriptors_says_so_is_replaced_and_loses_no_task(site: Site) -> None:
    site.app("max_retries=None, backoff=Backoff(first=0.05, limit=0.05), recheck=0.2", body=LEAKS)
    tree = site.tree(workers=2)
    for pid in [tree.pid, *tree.workers()]:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (256, 256))
    numbers = site.push_many([{}] * 100, task="leak")
    site.ended(*numbers, within=30)
    books = site.settle(10, extra_starts=None)
    assert [words for words in books.words if words[0] == "F" and words[2] == "True"], "EMFILE was reported"
    assert tree.event("worker.recycled"), "a worker without descriptors makes room for another"
    assert not site.store.dead()
    assert tree.stop() == 0


@pytest.mark.fault(21)
def test_recycling_leaves_descriptors_and_memory_of_the_supervisor_flat(site: Site) -> None:
    site.app("max_tasks_per_run=1, recheck=0.2")
    tree = site.tree(workers=2)
    count = size(100, 1000)

    def recycle(times: int) -> tuple[int, int]:
        numbers = site.push_many([{}] * times)
        site.ended(*numbers, within=20 + times / 2)
        site.store.quiet(10)
        tree.ready(2)
        eventually(lambda: len(list(tree.folder.glob("*.page"))) == 2, 5, "pages of the dead are gone")
        return descriptors(tree.pid) + descriptors(tree.keeper()), resident(tree.pid)

    before, small = recycle(20)
    after, large = recycle(count)
    assert after == before, "descriptors of supervisor and keeper"
    assert large - small < 1 << 20, f"{(large - small) / 1024:.0f} KiB more after {count} recycles"
    ends = tree.events("worker.recycled")
    assert len(ends) == count + 20
    assert {event["reason"] for event in ends} == {"max_tasks_per_run"}
    site.settle(5, extra_starts=0)
    assert tree.stop() == 0


@pytest.mark.fault(22)
@pytest.mark.parametrize(
    ("source", "code", "words"),
    [
        ("import htpx\n", 3, "No module named 'htpx'"),
        ("def (:\n", 3, "SyntaxError"),
        ("from regiment import Queue\nwork = Queue('w', lease=-1)\n@work.task\ndef f(): ...\n", 5, "lease is -1"),
        ("from regiment import Queue\nwork = Queue('w')\n", 3, "has no task"),
    ],
)
def test_a_broken_module_ends_the_first_start_at_once_with_one_message(
    site: Site, source: str, code: int, words: str
) -> None:
    (site.folder / "broken.py").write_text(source)
    tree = site.tree("broken:work", workers=4, ready=False)
    assert tree.end(10) == code
    errors = [line for line in tree.text().splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, "one message, not one for each child"
    assert words in tree.text()
    assert "Traceback" not in tree.text()


@pytest.mark.fault(22)
def test_each_of_two_different_start_up_errors_is_told_once(site: Site) -> None:
    (site.folder / "one.py").write_text("import missing_one\n")
    (site.folder / "two.py").write_text("import missing_two\n")
    tree = site.tree(["one:work=3", "two:work=3"], ready=False)
    assert tree.end(10) == 3
    errors = [line for line in tree.text().splitlines() if line.startswith("error: ")]
    assert sorted(errors) == ['error: cannot load "one"', 'error: cannot load "two"']


@pytest.mark.fault(22)
def test_a_worker_that_cannot_start_again_is_tried_with_growing_pauses_and_given_up_with_the_first_error(
    site: Site,
) -> None:
    site.app(
        body="""
@work.on("initialize")
def initialize():
    if os.path.exists("broken"):
        raise RuntimeError(f"no database, says {os.getpid()}")
"""
    )
    n = site.push()
    tree = site.tree(workers=2, crash_backoff=(0.2, 1.0), give_up=5)
    site.ended(n)
    (site.folder / "broken").touch()
    for pid in tree.workers():
        os.kill(pid, signal.SIGKILL)
    assert tree.end(20) == 7
    text = tree.text()
    assert text.count("app:work failed to start 5 times in a row") == 1
    assert text.count("error: ") == 1
    said = text[text.index("error: ") :].splitlines()
    assert said[1].startswith("the worker cannot start: RuntimeError: no database, says"), said
    assert said[2].startswith("  app.py line ") and "in initialize: raise Runtime" in said[2], said
    assert "Traceback" not in text
    pauses = [event["next_in"] for event in tree.events("worker.crashed") if "next_in" in event]
    assert len(pauses) == 4, "one line for each attempt"
    for pause, wanted in zip(pauses, (0.2, 0.4, 0.8, 1.0), strict=True):
        assert 0.8 * wanted - 0.06 <= pause <= 1.2 * wanted + 0.06
    assert len(tree.events("supervisor.crash_loop")) == 1


@pytest.mark.fault(22)
def test_a_healthy_start_forgets_the_failed_ones_before_it(site: Site) -> None:
    site.app(
        body="""
@work.on("initialize")
def initialize():
    left = len(os.listdir("failing"))
    if left:
        os.unlink(f"failing/{left}")
        raise RuntimeError("not yet")
"""
    )
    (site.folder / "failing").mkdir()
    tree = site.tree(workers=1, crash_backoff=(0.05, 0.1), give_up=4)
    for _ in range(3):
        for number in (1, 2, 3):
            (site.folder / "failing" / str(number)).touch()
        (pid,) = tree.ready(1)
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not alive(pid), 2)
        tree.ready(1)
    assert tree.stop() == 0


def test_ends_are_told_apart_and_said_in_words(site: Site) -> None:
    site.app(
        "recheck=0.2, poison_delays=(0.0,), max_deliveries=1, timeouts=Timeouts(0.4, grace=0.1)",
        body="""
@work.task
def again(n):
    begin(n)
    raise Respawn(done=True)
""",
    )
    tree = site.tree(workers=1, tick=0.2)

    def told(task: str, **kwargs: object) -> tuple[str, str]:
        before = len(tree.events("worker.crashed") + tree.events("worker.recycled"))
        site.push(task, **kwargs)
        eventually(lambda: len(tree.events("worker.crashed") + tree.events("worker.recycled")) > before, 10)
        tree.ready(1)
        event = [one for one in tree.events() if one.get("event") in ("worker.crashed", "worker.recycled")][-1]
        return event["event"], event["reason"]

    assert told("crash", how="segfault") == ("worker.crashed", "killed by SIGSEGV")
    assert told("crash", how="exit") == ("worker.crashed", "exit code 11")
    assert told("crash", how="abort") == ("worker.crashed", "killed by SIGABRT")
    assert told("crash", how="kill") == ("worker.crashed", "killed by SIGKILL")
    assert told("deaf") == ("worker.crashed", "killed for a task past its limit")
    assert told("again") == ("worker.recycled", "respawn")
    assert tree.stop() == 0
    stopped = tree.events("worker.stopped")
    assert [event["reason"] for event in stopped] == ["told to end"]


@pytest.mark.fault(1)
def test_the_task_of_a_killed_child_runs_elsewhere_within_a_second_and_its_batch_is_untouched(
    site: Site,
) -> None:
    site.app("tasks_per_transaction=5, recheck=0.2, poison_delays=(0.0,), give_back_after=None")
    tree = site.tree(workers=2)
    for _ in range(size(8, 50)):
        numbers = site.push_many([{"seconds": 0.15}] * 5)
        victim = site.started(numbers[0]).starts[numbers[0]][0].pid
        os.kill(victim, signal.SIGKILL)
        killed = boot_ns()
        books = site.ended(*numbers, within=10)
        again = [n for n in numbers if len(books.starts[n]) > 1]
        assert len(again) <= 1, "what had not started was returned untouched"
        for n in again:
            assert took(killed, books.starts[n][1].at) < 1
        tree.ready(2)
    site.settle(5, extra_starts=size(8, 50))
    assert tree.stop() == 0


def test_workers_are_added_within_a_second_when_tasks_wait_and_taken_away_when_idle(
    site: Site,
) -> None:
    site.app("recheck=0.2")
    tree = site.tree("app:work=1..4", scale_down=1.0)
    fewest, over = [4], threading.Event()

    def count() -> None:
        while not over.wait(0.02):
            fewest[0] = min(fewest[0], len(tree.workers()))

    counter = threading.Thread(target=count)
    counter.start()
    try:
        numbers = site.push_many([{"seconds": 0.4}] * 40)
        busy = site.started(numbers[0]).starts[numbers[0]][0].at
        books = site.until(
            lambda books: len({line.pid for lines in books.starts.values() for line in lines}) > 1,
            5,
        )
        second = sorted(
            lines[0].at for lines in books.starts.values() if lines[0].pid != books.starts[numbers[0]][0].pid
        )[0]
        assert took(busy, second) < 1.5, "within a second, and a start"
        scaled = tree.event("supervisor.scaled")
        assert (scaled["was"], scaled["workers"]) == (1, 2)
        tree.ready(4)
        site.ended(*numbers, within=20)
        eventually(lambda: len(tree.workers()) == 1, 15, "down to the least number")
    finally:
        over.set()
        counter.join()
    time.sleep(1.5)  # longer than a worker may idle: the last one stays
    assert len(tree.workers()) == 1
    assert fewest[0] >= 1, "never below the least number"
    site.settle(5, extra_starts=0)
    assert not tree.events("worker.crashed")
    assert {event["reason"].split(" for ")[0] for event in tree.events("worker.recycled")} == {"idle"}
    assert tree.stop() == 0


def test_a_worker_with_a_task_is_never_scaled_away(site: Site) -> None:
    site.app("recheck=0.2")
    tree = site.tree("app:work=1..3", tick=0.2, scale_down=0.4)
    numbers = site.push_many([{"seconds": 3.0}, {"seconds": 3.0}, *[{"seconds": 0.1}] * 10])
    site.ended(*numbers, within=20)
    site.settle(5, extra_starts=0)
    eventually(lambda: len(tree.workers()) == 1, 10)
    assert tree.stop() == 0


def test_a_store_away_for_two_leases_restarts_no_worker_and_runs_no_long_task_twice(
    site: Site,
) -> None:
    site.app("lease=1.5, recheck=0.2, give_back_after=None")
    tree = site.tree(workers=3)
    workers = tree.workers()
    numbers = site.push_many([{"seconds": 5.0}] * 3)
    site.started(*numbers)
    away = sqlite3.connect(site.folder / "queue.db", isolation_level=None)
    away.execute("BEGIN EXCLUSIVE")
    try:
        time.sleep(3.5)  # two leases, the fault itself
    finally:
        away.execute("ROLLBACK")
        away.close()
    later = site.push_many([{}] * 30)
    site.ended(*numbers, *later, within=20)
    books = site.settle(15, extra_starts=0)
    assert {line.pid for n in numbers for line in books.starts[n]} == set(workers)
    assert sorted(tree.workers()) == sorted(workers), "no worker was restarted"
    assert tree.stop() == 0


def test_a_start_error_longer_than_a_socket_takes_at_once_is_told_whole_and_at_once(
    site: Site,
) -> None:
    (site.folder / "broken.py").write_text("raise ValueError('settings are wrong: ' + 'x' * 300_000 + ' the end')\n")
    tree = site.tree("broken:work", ready=False)
    assert tree.end(10) == 3
    assert "ValueError: settings are wrong: xxx" in tree.text()
    assert "xxx the end" in tree.text()


LOGGING = """
import logging
logging.basicConfig(level=logging.INFO, format="MINE %(name)s %(message)s"{options})

@work.task
def says(n):
    begin(n)
    logging.getLogger("mine").info("number %s", n)
    end(n)
"""


def test_the_applications_own_basic_config_takes_effect_in_workers(site: Site) -> None:
    site.app("recheck=0.2", body=LOGGING.format(options=""))
    tree = site.tree()
    n = site.push("says")
    site.ended(n)
    eventually(lambda: f"MINE mine number {n}" in tree.text(), 5, tree.text)
    assert "MINE regiment worker.ready" in tree.text(), "regiment's own events go the same way"
    assert not tree.events("worker.ready"), "and no second time"
    assert tree.event("supervisor.started"), "the supervisor has no application"


def test_a_module_that_only_logs_while_it_is_imported_leaves_regiments_log_as_it_is(
    site: Site,
) -> None:
    site.app("recheck=0.2", body="import logging\nlogging.warning('imported')\n")
    tree = site.tree()
    assert tree.event("worker.ready") and tree.event("imported")
