"""Tasks that run on a real Dask cluster, some of whose processes are killed: what becomes of them is regiment's to say."""

from __future__ import annotations

import json
import os
import signal
import threading
from typing import Any

from dask_cluster.cluster import START
from dask_cluster.conftest import Ground
from harness.wait import eventually
from regiment_dask.link import Link
from regiment_results.handles import handle
from regiment_runner.shared.works import works
from regiment_workflows import group, over, s

SOON = 90.0
"""Seconds that a task may take on a busy machine."""


def notes(ground: Ground, *words: object) -> list[list[str]]:
    """What tasks have noted that begins with these words."""
    path = ground.cluster.folder / "notes"
    lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
    return [line for line in lines if line[: len(words)] == [str(word) for word in words]]


def noted(ground: Ground, count: int, *words: object) -> list[list[str]]:
    """The same, when so many are there."""
    return eventually(lambda: found if len(found := notes(ground, *words)) >= count else None, SOON, ground.site.logs)


def let_go(ground: Ground, name: str) -> None:
    """End the tasks that wait for this name."""
    (ground.cluster.folder / f"notes{name}").touch()


def letter(ground: Ground, id: str) -> dict[str, Any]:
    """The reason of a dead letter, when it is there."""

    def found() -> dict[str, Any] | None:
        letters = ground.site.store.look.dead("rows", 1000)
        return next((json.loads(one.reason) for one in letters if one.task_id == id), None)

    return eventually(found, SOON, ground.site.logs)


def test_a_task_runs_in_a_process_of_the_cluster_and_what_it_returns_comes_back(ground: Ground) -> None:
    handles = [ground.app.add.push(a=n, b=1) for n in range(20)]
    found = [handle.result(timeout=SOON) for handle in handles]
    assert [one["sum"] for one in found] == list(range(1, 21))
    assert {one["pid"] for one in found} <= set(ground.cluster.workers)


def test_a_task_knows_there_which_it_is(ground: Ground) -> None:
    pushed = ground.app.about.options(headers={"h": "x"}, trace_id="t").push()
    found = pushed.result(timeout=SOON)
    assert found == {"id": pushed.id, "run": 0, "trace": "t", "headers": {"h": "x"}, "left": None}


def test_what_a_task_raises_there_is_judged_here(ground: Ground) -> None:
    told = letter(ground, ground.app.wrong.push().id)
    assert (told["kind"], told["error_type"], told["error"]) == ("failure", "ValueError", "the true reason")
    assert (
        'raise ValueError("the true reason")' in told["traceback"] and "on the Dask worker tcp://" in told["traceback"]
    )
    told = letter(ground, ground.app.odd.push().id)
    assert told["error_type"] == "DaskError" and "Odd: 1 of 2 (on the Dask worker tcp://" in told["error"]
    told = letter(ground, ground.app.given_up.push().id)
    assert (told["kind"], told["error"]) == ("fail", "no more of this")


def test_a_retry_that_is_asked_for_there_is_one_of_ours(ground: Ground) -> None:
    assert ground.app.later.push().result(timeout=SOON) == 2


def test_what_does_not_reach_a_dask_worker_is_refused_there_in_words(ground: Ground) -> None:
    commit, take = ground.app.at_home.push().result(timeout=SOON)
    assert "current().commit does not reach a Dask worker" in commit and "Return what is to be kept" in commit
    assert "take does not reach a Dask worker" in take
    assert "nothing in it has run" in letter(ground, ground.app.lazy.push().id)["error"]


def test_a_task_pushes_from_there(ground: Ground) -> None:
    id = ground.app.child.push().result(timeout=SOON)
    assert handle(ground.app.rows, id).result(timeout=SOON)["sum"] == 2


def reported(ground: Ground, note: str) -> int:
    """How many running tasks have reported with this note."""
    with ground.tree.pages() as pages:
        return sum(work.note == note for one in pages for work in works(one))


def test_progress_comes_back(ground: Ground) -> None:
    pushed = ground.app.counts.push(name="count")
    eventually(lambda: reported(ground, "rows") == 1, SOON, ground.site.logs)
    with ground.tree.pages() as pages:
        assert [(work.done, work.total) for one in pages for work in works(one)] == [(3, 7)]
    let_go(ground, "count")
    pushed.result(timeout=SOON)


def test_a_map_and_its_callback_run_there(ground: Ground) -> None:
    run = over(ground.app.square, range(50), chunk=5).then(s(ground.app.total)).start()
    found, mapped, reduced = run.result(timeout=SOON)
    assert found == sum(n * n for n in range(50))
    assert {*mapped, reduced} <= set(ground.cluster.workers)
    run = group(s(ground.app.square, n=n) for n in range(5)).then(s(ground.app.total)).start()
    assert run.result(timeout=SOON)[0] == 30


def test_a_connection_that_was_closed_leaves_no_thread(ground: Ground) -> None:
    before = set(threading.enumerate())
    for _ in range(2):
        link = Link(ground.cluster.address, 10.0)
        link.client()
        link.close()
    # Dask's pool for large messages stays with the process; the driver of the store starts threads when it likes.
    started = {one.name for one in set(threading.enumerate()) - before}
    assert {name for name in started if "Offload" not in name and not name.startswith("pymongo_")} == set()


def test_a_process_that_was_forked_is_told_so_and_leaves_the_connection_alone(ground: Ground) -> None:
    link = Link(ground.cluster.address, 10.0)
    client = link.client()
    reads, writes = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            link.client()
        except RuntimeError as error:
            os.write(writes, str(error).encode())
            link.close()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    os.close(writes)
    with open(reads) as told:
        assert "this process was forked from a worker that is connected to Dask" in told.read()
    assert link.client() is client and client.scheduler_info()["workers"]
    link.close()


def test_a_limit_ends_the_wait_and_says_what_still_runs(ground: Ground) -> None:
    told = letter(ground, ground.app.slow.push(name="slow").id)
    assert told["kind"] == "timeout"
    assert "it may run on in a thread of the Dask worker tcp://" in told["error"]
    let_go(ground, "slow")


def test_a_dask_worker_that_is_killed_costs_its_task_one_run_and_no_other_task_any(ground: Ground) -> None:
    handles = [ground.app.held.push(name="kill") for _ in range(8)]  # more than the cluster has threads
    running = noted(ground, 4, "held", "kill")
    # A report that has come here says that the start has been heard of, which is told before it.
    eventually(lambda: reported(ground, "kill") == 4, SOON, ground.site.logs)
    victim = int(running[0][2])
    its = [line for line in running if line[2] == str(victim)]
    ground.cluster.kill(victim)
    ground.cluster.start_worker()
    let_go(ground, "kill")
    runs = [handle.result(timeout=SOON) for handle in handles]
    assert sorted(runs) == [0] * (8 - len(its)) + [1] * len(its)
    lost = [one for one in ground.tree.events("task.failure") if one["error_type"] == "WorkerLost"]
    assert len(lost) == len(its) and "was lost while it ran the task" in lost[0]["error"]


def test_a_task_that_kills_its_dask_workers_is_a_dead_letter_that_names_one(ground: Ground) -> None:
    id = ground.app.deadly.push().id

    def ended() -> bool:
        ground.cluster.mend()
        return any(one.task_id == id for one in ground.site.store.look.dead("rows", 1000))

    eventually(ended, SOON, ground.site.logs)
    told = letter(ground, id)
    assert told["error_type"] == "WorkerLost" and "Dask worker" in told["error"] and told["runs"] == 2
    assert 2 <= len(notes(ground, "deadly")) <= 8  # two runs of ours; more only where nobody has heard of a start
    assert ground.app.add.push(a=1, b=1).result(timeout=SOON)["sum"] == 2


def test_a_worker_of_ours_that_is_killed_costs_no_task(ground: Ground) -> None:
    pushed = ground.app.held.push(name="ours")
    noted(ground, 1, "held", "ours")
    os.kill(ground.tree.workers()[0], signal.SIGKILL)
    noted(ground, 2, "held", "ours")
    let_go(ground, "ours")
    assert pushed.result(timeout=SOON) == 0
    assert len(noted(ground, 2, "held", "ours")) == 2


def test_the_scheduler_is_killed_and_comes_back_and_no_task_is_lost_or_counts_a_run(ground: Ground) -> None:
    ground.tree.ready(1, START)
    handles = [ground.app.held.push(name="scheduler") for _ in range(2)]
    noted(ground, 2, "held", "scheduler")
    ground.cluster.scheduler.kill()
    ground.cluster.scheduler.wait()
    eventually(lambda: ground.tree.events("dask.away"), SOON, ground.site.logs)
    later = ground.app.add.push(a=1, b=2)
    let_go(ground, "scheduler")
    for pid in list(ground.cluster.workers):
        ground.cluster.kill(pid)
    ground.cluster.start_scheduler()
    ground.cluster.start_worker()
    assert [handle.result(timeout=SOON) for handle in handles] == [0, 0]
    assert later.result(timeout=SOON)["sum"] == 3
