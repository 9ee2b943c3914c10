"""A supervisor that cannot start one more worker, or keeper, says so, tries again, and goes on with what there is."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys

import pytest

from harness.site import Site
from harness.tree import Tree
from harness.wait import alive, eventually
from regiment import exits


def another_keeper(tree: Tree, last: int) -> int | None:
    """The keeper that the roster names, once it is not the `last` one: a start that fails has a process for a moment."""
    pid: int = json.loads((tree.folder / "tree.json").read_text())["keeper"]
    return pid if pid not in (0, last) and alive(pid) else None


def refusals(site: Site) -> list[str]:
    return sorted(path.name for path in (site.folder / "refusals").iterdir())


def test_each_call_of_one_more_start_of_a_worker_may_fail_once_and_the_next_try_starts_it(
    site: Site,
) -> None:
    site.app("max_tasks_per_run=1, recheck=0.2")
    tree = site.tree(workers=1, program="refusing.py", environment={"REFUSED": "worker"}, tick=0.2)
    pushed = []
    for _ in range(60):
        pushed.append(site.push())
        site.ended(*pushed, within=15)
        if "all" in refusals(site):
            break
    seen = {name.split(",")[1] for name in refusals(site) if name != "all"}
    assert seen >= {"eventfd", "open", "mmap", "socketpair", "fork", "pidfd_open"}, refusals(site)
    assert "all" in refusals(site)
    told = tree.events("supervisor.exhausted")
    assert len(told) == len(refusals(site)) - 1, "each is said"
    assert all("a worker of app:work" in event["what"] and event["next_in"] for event in told)
    tree.ready(1)
    eventually(
        lambda: len(list(tree.folder.glob("*.page"))) == 1,
        5,
        "nothing is left of a start that failed",
    )
    site.settle(5, extra_starts=0)
    assert tree.stop() == 0


def test_each_call_of_the_start_of_another_keeper_may_fail_once_and_the_next_try_starts_it(
    site: Site,
) -> None:
    site.app("recheck=0.2")
    tree = site.tree(workers=1, program="refusing.py", environment={"REFUSED": "keeper"}, tick=0.2)
    worker = tree.workers()
    keeper = tree.keeper()
    for _ in range(8):
        before = len(tree.events("keeper.replaced"))
        os.kill(keeper, signal.SIGKILL)
        eventually(lambda n=before: len(tree.events("keeper.replaced")) > n, 5, tree.text)
        keeper = eventually(lambda last=keeper: another_keeper(tree, last), 10, tree.text)
        if "all" in refusals(site):
            break
    assert "all" in refusals(site)
    assert {"socketpair", "pidfd_open", "fork"} <= {name.split(",")[1] for name in refusals(site) if name != "all"}
    assert len(tree.events("supervisor.exhausted")) == len(refusals(site)) - 1
    n = site.push()
    site.ended(n)
    site.settle(10, extra_starts=0)
    assert tree.workers() == worker, "no worker was ended for it"
    assert tree.stop() == 0


def test_a_tree_that_runs_out_of_descriptors_while_it_grows_goes_on_with_the_workers_it_has(
    site: Site,
) -> None:
    site.app("recheck=0.2")
    tree = site.tree("app:work=1..100", workers=1, tick=0.2)
    few = len(os.listdir(f"/proc/{tree.pid}/fd")) + 30
    resource.prlimit(tree.pid, resource.RLIMIT_NOFILE, (few, few))
    numbers = site.push_many([{"seconds": 0.3}] * 60)
    tree.event("supervisor.exhausted", within=15)
    site.ended(*numbers, within=40)
    assert len(tree.workers()) > 1
    assert not tree.events("worker.crashed")
    site.settle(5, extra_starts=0)
    assert alive(tree.pid)
    assert tree.stop() == 0


@pytest.mark.parametrize("error", ['RuntimeError("can\'t start new thread")', "OSError(24, 'Too many open files')"])
def test_a_start_that_fails_for_want_of_processes_or_descriptors_is_no_reason_to_give_up(
    site: Site, error: str
) -> None:
    site.app(
        "recheck=0.2",
        body=f"""
@work.on("initialize")
def initialize():
    if os.path.exists("full"):
        raise {error}
""",
    )
    tree = site.tree(workers=2, give_up=2)
    (site.folder / "full").touch()
    os.kill(tree.workers()[0], signal.SIGKILL)
    tree.event("supervisor.exhausted", within=15, count=3)
    n = site.push()
    site.ended(n)
    (site.folder / "full").unlink()
    tree.ready(2, within=20)
    assert tree.stop() == 0


STARVED = """
import resource
from regiment_runner import Supervisor
resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))
raise SystemExit(Supervisor("app:work", burst=True, give_up=2).run())
"""


def test_a_tree_that_has_no_room_for_its_first_worker_ends_and_says_what_helps(site: Site) -> None:
    (site.folder / "app.py").write_text(
        "from regiment import Queue\nwork = Queue('work')\n@work.task\ndef act(): ...\n"
    )
    done = subprocess.run([sys.executable, "-c", STARVED], cwd=site.folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == exits.CRASH_LOOP, done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    (words,) = said
    assert "no worker of app:work could be started in 2 tries: Too many open files" in words and "ulimit -n" in words
