"""A worker that ends before it has done anything is not started without end, ready or not; and every end has an end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from harness.site import Site
from harness.wait import eventually

BROKEN_LOG = """
import logging

class Collector(logging.Handler):
    def emit(self, record):
        raise {error}

class Filter(logging.Filter):
    def filter(self, record):
        raise {error}

logging.getLogger("regiment").{add}
"""
DAMAGED = """
from harness.losing import Losing
from regiment.errors import StoreError

@work.on("initialize")
def damage():
    def exchange(self, *args, **kwargs):
        raise StoreError("the table of tasks is damaged")

    Losing.exchange = exchange
"""


@pytest.mark.parametrize("add", ["addHandler(Collector())", "addFilter(Filter())"])
@pytest.mark.parametrize("error", ["ConnectionError('no collector')", "SystemExit(3)", "BaseException('odd')"])
def test_what_a_logging_handler_or_filter_raises_ends_no_worker_and_is_said_on_stderr(
    site: Site, error: str, add: str
) -> None:
    site.app("recheck=0.2", body=BROKEN_LOG.format(error=error, add=add))
    tree = site.tree(workers=1)
    n = site.push()
    failing = site.push("nap", seconds="no number")
    site.ended(n)
    eventually(lambda: failing in site.store.dead(), 5, site.logs)
    assert tree.event("worker.ready"), "the other handlers get what happens"
    assert tree.event("task.failure")
    assert "a logging handler or filter raised" in tree.text()
    assert not tree.events("worker.crashed")
    assert tree.stop() == 0


def test_ready_workers_that_end_without_a_task_are_braked_and_given_up_with_the_reason(
    site: Site,
) -> None:
    site.app(losing=True, body=DAMAGED)
    tree = site.tree(workers=2, ready=False, crash_backoff=(0.1, 1.0), give_up=5)
    assert tree.end(20) == 7
    assert "before they had begun a task" in tree.text()
    assert "the table of tasks is damaged" in tree.text()[tree.text().index("before they had") :]
    assert len(tree.events("worker.ready")) <= 8
    pauses = [event["next_in"] for event in tree.events("supervisor.braked")]
    assert pauses and pauses == sorted(pauses)


def test_a_worker_that_is_killed_by_hand_again_and_again_is_replaced_and_the_tree_goes_on(
    site: Site,
) -> None:
    site.app("recheck=0.2")
    tree = site.tree(workers=2, give_up=3)
    for _ in range(5):
        os.kill(tree.ready(2)[0], signal.SIGKILL)
        tree.ready(2)
    n = site.push()
    site.ended(n)
    assert tree.stop() == 0


@pytest.mark.parametrize(("control", "crashes"), [("Stop", 0), ("Respawn", 0)])
def test_stop_in_initialize_ends_the_tree_and_respawn_there_is_braked(site: Site, control: str, crashes: int) -> None:
    site.app(
        body=f"""
@work.on("initialize")
def initialize():
    if os.path.exists("asked"):
        return
    open("asked", "w")
    raise {control}
"""
    )
    tree = site.tree(workers=1, ready=False)
    if control == "Stop":
        assert tree.end(15) == 0
    else:
        tree.ready(1)
    assert len(tree.events("worker.crashed")) == crashes


HANGS = """
@work.on("finalize")
def finalize():
    write("F", os.getpid())
    time.sleep(1000)
"""


def test_a_recycled_worker_that_hangs_in_finalize_is_killed_at_the_stop_timeout_and_replaced(
    site: Site,
) -> None:
    site.app("recheck=0.2, max_tasks_per_run=2", body=HANGS)
    tree = site.tree(workers=1, stop_timeout=1.5)
    numbers = site.push_many([{}] * 4)
    site.until(lambda books: any(words[0] == "F" for words in books.words), 10)
    health = [sys.executable, "-m", "regiment", "health", "--ready"]
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(site.runtime)}
    eventually(
        lambda: subprocess.run(health, env=environment, capture_output=True).returncode == 1,
        3,
        "a worker that takes nothing more is not ready",
    )
    site.ended(*numbers, within=15)
    event = tree.event("worker.stopped")
    assert event["reason"] == "killed at the end of the stop timeout"
    site.settle(5, extra_starts=0)


def test_a_burst_whose_worker_hangs_in_finalize_ends_all_the_same(site: Site) -> None:
    site.app("recheck=0.2", body=HANGS)
    n = site.push()
    began = time.monotonic()
    tree = site.tree(workers=1, ready=False, burst=True, stop_timeout=1.0)
    tree.end(15)
    assert time.monotonic() - began < 12
    assert n in site.books().ends
    assert len(tree.events("worker.ready")) == 1


def test_what_finalize_raises_makes_no_crash_of_an_end(site: Site) -> None:
    site.app(body='\n@work.on("finalize")\ndef finalize():\n    sys.exit(4)\n')
    tree = site.tree(workers=1)
    assert tree.stop() == 0
    assert tree.events("hook.error")[0]["hook"] == "finalize"
    assert not tree.events("worker.crashed")
