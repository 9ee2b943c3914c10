"""Row 33 of the fault matrix: forks and threads in user code, in a task and in whoever pushes."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading

import pytest

from harness.scale import size
from harness.site import Site

FORKING = """
@work.task
def forks(n):
    begin(n)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            for number in range(n * 1000, n * 1000 + 5):
                write("I", number)
                nap.push(n=number)
                write("A", number)
            code = 0
        finally:
            os._exit(code)
    for number in range(n * 1000 + 5, n * 1000 + 10):
        write("I", number)
        nap.push(n=number)
        write("A", number)
    _, status = os.waitpid(pid, 0)
    if status:
        raise RuntimeError(f"the child ended with {status}")
    end(n)

@work.task
def strays(n):
    begin(n)
    if os.fork() == 0:
        return  # a child that goes on as if it were the worker
    os.wait()
    end(n)
"""


def intact(site: Site) -> bool:
    """Whether SQLite finds its file in order."""
    if not site.url.startswith("sqlite"):
        return True
    with sqlite3.connect(site.folder / "queue.db") as db:
        return bool(db.execute("PRAGMA integrity_check").fetchone() == ("ok",))


@pytest.mark.fault(33)
def test_parent_and_child_of_a_fork_in_a_task_push_through_connections_of_their_own(
    site: Site,
) -> None:
    site.app("tasks_per_transaction=5", body=FORKING)
    tree = site.tree(workers=2)
    for _ in range(size(10, 100)):
        site.push("forks")
    books = site.settle(30)
    assert len(books.ends) == size(10, 100) * 11
    assert not site.store.dead()
    assert intact(site)
    assert tree.stop() == 0


@pytest.mark.fault(33)
def test_a_child_that_returns_from_a_task_does_not_go_on_as_a_second_worker(site: Site) -> None:
    site.app("tasks_per_transaction=5", body=FORKING)
    tree = site.tree(workers=1)
    (worker,) = tree.workers()
    numbers = [site.push("strays") for _ in range(3)]
    numbers += site.push_many([{}] * 20)
    site.ended(*numbers)
    books = site.settle(5)
    assert {line.pid for lines in books.ends.values() for line in lines} == {worker}
    assert tree.workers() == [worker]
    assert intact(site)


@pytest.mark.fault(33)
def test_threads_push_at_the_same_time_and_every_push_arrives_once(site: Site) -> None:
    site.app("tasks_per_transaction=20")
    site.tree(workers=1)

    def push(start: int) -> None:
        for n in range(start, start + 50):
            site.push(n=n)

    threads = [threading.Thread(target=push, args=(1000 * k,)) for k in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    books = site.settle(20)
    assert len(books.ends) == 400


PRELOADED = """
import os, sys, threading
sys.path.insert(0, {folder!r})
import app
def push(numbers):
    for n in numbers:
        app.write("I", n)
        app.nap.push(n=n)
        app.write("A", n)
push(range(1, 6))                        # the parent has an open connection, as with gunicorn --preload
busy = threading.Thread(target=push, args=(range(10, 60),))
busy.start()                             # and a thread that holds it as the forks happen
children = []
for k in range(1, 5):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            threads = [threading.Thread(target=push, args=(range(k * 1000 + t * 100, k * 1000 + t * 100 + 10),))
                       for t in range(3)]
            [thread.start() for thread in threads]
            [thread.join() for thread in threads]
            code = 0
        finally:
            os._exit(code)
    children.append(pid)
busy.join()
push(range(100, 105))
sys.exit(max(os.waitpid(pid, 0)[1] for pid in children))
"""


@pytest.mark.fault(33)
def test_a_preloaded_server_that_forks_while_a_thread_pushes_loses_and_doubles_nothing(
    site: Site,
) -> None:
    site.app("tasks_per_transaction=20")
    site.tree(workers=1)
    code = PRELOADED.format(folder=str(site.folder))
    for _ in range(size(1, 20)):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
    books = site.settle(20, extra_starts=None, extra_ends=size(0, 180 * 19))
    assert len(books.ends) == 5 + 50 + 4 * 30 + 5
    assert intact(site)


FORKS_WHILE_ANOTHER_THREAD_OPENS = """
import faulthandler, os, threading, time
from regiment import Queue

q = Queue("forked", connector={url!r})

@q.task
def t(n):
    pass

q.broker  # loads what a push needs (docs/guarantees.md), and opens nothing
threading.Thread(target=lambda: [t.push(n=n) for n in range(500)], daemon=True).start()
hung = 0
for _ in range(60):
    time.sleep(0.002)
    pid = os.fork()
    if pid == 0:
        faulthandler.dump_traceback_later(10, exit=True)
        t.push(n=0)
        os._exit(0)
    hung += os.waitpid(pid, 0)[1] != 0
print("hung:", hung)
"""


def test_a_child_that_is_forked_while_another_thread_opens_the_store_can_push(site: Site) -> None:
    (site.folder / "forks.py").write_text(FORKS_WHILE_ANOTHER_THREAD_OPENS.format(url=site.url))
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "forks.py"], cwd=site.folder, capture_output=True, text=True, timeout=120
        )
        assert done.stdout == "hung: 0\n", done.stderr[-2000:]
        for name in ("queue.db", "queue.db-wal", "queue.db-shm"):
            (site.folder / name).unlink(missing_ok=True)


@pytest.mark.fault(33)
def test_a_broker_for_redis_has_loaded_what_a_connection_needs() -> None:
    """The guarantees tell programs with threads and forks to build it first: then no import is left beside a fork."""
    source = (
        "import sys; from regiment import Queue\n"
        "Queue('q', connector='redis://127.0.0.1:1/0').broker; known = set(sys.modules)\n"
        "import socket; socket.getaddrinfo('127.0.0.1', 1)\n"
        "print(sorted(set(sys.modules) - known))"
    )
    told = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=60, check=True)
    assert told.stdout == "[]\n"
