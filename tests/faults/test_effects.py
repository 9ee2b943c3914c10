"""What tasks leave behind, while workers, keepers and supervisors are killed: with the settlement, once, or not at all."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from harness.each_store import on_each_store
from harness.scale import seeds, size
from harness.site import Site
from harness.tree import Tree
from harness.wait import alive, eventually
from regiment.broker import extras
from regiment_runner.shared import page, procfs

POINTS = ("run", "record", "mark", "sent", "executed")
"""Where somebody is killed: in the task, once its record is written, once it is marked done, before the exchange that settles it
is sent, and once that is executed and not answered."""

BODY = """
import json
from regiment.hooks import hookimpl
from regiment_runner.shared import annex
from regiment_runner.worker import keeping, lease

FOLDER = {folder!r}
BORN = os.open(FOLDER + "/born", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def strike(point):
    path = os.path.join(FOLDER, "strike." + point)
    try:
        with open(path) as file:
            pid = int(file.read() or os.getpid())
        os.unlink(path)
    except FileNotFoundError:
        return
    os.kill(pid, signal.SIGKILL)


def around(owner, name, before, after):
    inner = getattr(owner, name)

    def call(self, *args, **kwargs):
        if before and args[0]:
            strike(before)
        answer = inner(self, *args, **kwargs)
        if after and args[0]:
            strike(after)
        return answer

    setattr(owner, name, call)


around(annex.Annex, "append", "", "record")
around(keeping.Keeping, "_recorded", "", "mark")
around(lease.Lease, "exchange", "sent", "executed")


@work.task
def child(n):
    os.write(BORN, f"{{n}} {{current().task.id}}\\n".encode())


@work.task
def parent(n, seconds=0.0, pad=0):
    begin(n)
    current().commit.push(child, n=n)
    current().commit.keep(str(n), [n, os.getpid(), "v" * pad], 600)
    strike("run")
    if seconds:
        time.sleep(seconds)
    end(n)
"""


SEVERAL = """

@work.task
async def several(n, seconds=0.0, pad=0):
    import asyncio

    begin(n)
    current().commit.push(child, n=n)
    current().commit.keep(str(n), [n, os.getpid(), ""], 600)
    await asyncio.sleep(seconds)
    end(n)
"""

PLUGIN = """

class Keeps:
    needs = frozenset({{"effects"}})

    @staticmethod
    @hookimpl
    def regiment_effects(task, task_id, outcome, settles):
        from regiment.contracts import Keep
        return [Keep(f"ended:{{task.kwargs['n']}}:{{task.name}}", settles.encode(), 600.0)]

work.config = work.config.replace(plugins=[Keeps])
"""
"""Then every end has a record, from the start."""


class Ground:
    """A site whose tasks each push a child and keep a record, in the step in which they succeed."""

    def __init__(self, site: Site, settings: str, more: str = "") -> None:
        if "effects" not in extras(site.store.look):
            pytest.skip("this store keeps no effects")
        self.site = site
        site.app(settings, body=(BODY + more).format(folder=str(site.folder)))

    def kept(self, n: int) -> list[object] | None:
        found: list[object] | None = self.site.queue.kept(str(n))
        return found

    def all_kept(self, numbers: Iterable[int]) -> bool:
        return all(self.kept(n) for n in numbers)

    def strike(self, point: str, pid: int | None) -> Path:
        path = self.site.folder / f"strike.{point}"
        path.with_suffix(".new").write_text("" if pid is None else str(pid))
        os.rename(path.with_suffix(".new"), path)
        return path

    def settled(self, numbers: list[int], kills: int, within: float = 30.0) -> None:
        """Each once, with its child once and its record; at most one ran twice for each kill."""
        books = self.site.settle(within, extra_starts=kills, extra_ends=kills)
        assert {n for n in books.starts if n in numbers} == set(numbers)
        born: dict[int, set[str]] = {}
        for line in (self.site.folder / "born").read_text().splitlines():
            n, task_id = line.split()
            born.setdefault(int(n), set()).add(task_id)
        assert {n: len(ids) for n, ids in born.items()} == dict.fromkeys(numbers, 1), "one child each"
        for n in numbers:
            found = self.kept(n)
            assert found is not None and found[0] == n
            assert found[1] in {line.pid for line in books.ends[n]}


def recording(tree: Tree) -> bool:
    """Whether its worker's page has an annex by now."""
    with tree.pages() as pages:
        return any(sheet.words[page.EFFECTS] for sheet in pages)


@pytest.mark.fault(73)
@on_each_store
@pytest.mark.parametrize("batch", [1, 100])
@pytest.mark.parametrize("victim", ["worker", "keeper"])
@pytest.mark.parametrize("seed", seeds(1))
def test_a_kill_at_any_point_settles_each_once_with_all_that_it_left(
    site: Site, victim: str, batch: int, seed: int
) -> None:
    ground = Ground(site, f"tasks_per_transaction={batch}, recheck=0.2")
    tree = site.tree(workers=1)
    numbers: list[int] = []
    kills = 0
    for point in POINTS:
        numbers += site.push_many([{}] * 5, task="parent")
        eventually(lambda: recording(tree), 10, tree.text)
        struck = tree.ready()[0] if victim == "worker" else tree.keeper()
        order = ground.strike(point, None if victim == "worker" else struck)
        numbers += site.push_many([{}] * size(20, 100), task="parent")
        eventually(lambda order=order: not order.exists(), 10, f"nobody was killed at {point}")
        # One that dies is seen as alive for a moment: the next order would name a process that is no more.
        eventually(lambda struck=struck: not alive(struck), 10, f"{struck} was not killed at {point}")
        kills += victim == "worker"
        site.store.quiet(30)
    ground.settled(numbers, kills)
    assert tree.stop() == 0


@pytest.mark.fault(73)
@on_each_store
@pytest.mark.parametrize("batch", [1, 100])
@pytest.mark.parametrize("point", POINTS)
def test_a_supervisor_killed_at_any_point_settles_each_once_with_all_that_it_left(
    site: Site, batch: int, point: str
) -> None:
    ground = Ground(site, f"tasks_per_transaction={batch}, recheck=0.2")
    tree = site.tree(workers=1)
    numbers = site.push_many([{}] * 5, task="parent")
    eventually(lambda: recording(tree), 10, tree.text)
    order = ground.strike(point, tree.pid)
    numbers += site.push_many([{"seconds": 0.002}] * 40, task="parent")
    eventually(lambda: not order.exists(), 10, f"nobody was killed at {point}")
    tree.process.wait()
    site.tree(workers=1)
    ground.settled(numbers, 1)


@pytest.mark.fault(73)
@on_each_store
@pytest.mark.parametrize("slots", ["number_of_threads=8", 'executor=Use("asyncio", concurrency=8)'])
@pytest.mark.parametrize("seed", seeds(1))
def test_workers_with_many_slots_leave_each_once_however_often_they_are_killed(
    site: Site, slots: str, seed: int
) -> None:
    chance = random.Random(seed)
    ground = Ground(site, f"tasks_per_transaction=20, recheck=0.2, {slots}", SEVERAL if "asyncio" in slots else "")
    task = "several" if "asyncio" in slots else "parent"
    tree = site.tree(workers=2)
    kills = size(4, 20)
    numbers = site.push_many([{"seconds": 0.01}] * size(400, 2000), task=task)
    for _ in range(kills):
        time.sleep(chance.uniform(0.1, 0.4))  # the random moment is the row itself
        os.kill(chance.choice(tree.ready()), signal.SIGKILL)
    ground.settled(numbers, 8 * kills, within=60)
    assert tree.stop() == 0


@pytest.mark.fault(73)
@on_each_store
@pytest.mark.parametrize("batch", [1, 100])
def test_a_plugin_that_keeps_every_end_keeps_it_once_the_task_is_settled_wherever_its_worker_is_killed(
    site: Site, batch: int
) -> None:
    ground = Ground(site, f"tasks_per_transaction={batch}, recheck=0.2", PLUGIN)
    tree = site.tree(workers=1)
    assert recording(tree), "from the start"
    numbers: list[int] = []
    for point in POINTS:
        order = ground.strike(point, None)
        numbers += site.push_many([{}] * size(20, 100), task="parent")
        eventually(lambda order=order: not order.exists(), 10, f"nobody was killed at {point}")
        site.store.quiet(30)
    ground.settled(numbers, len(POINTS))
    keys = [f"ended:{n}:{name}" for n in numbers for name in ("parent", "child")]
    records = site.store.look.records("work", keys)  # type: ignore[attr-defined]
    assert {found and found.value for found in records} == {b"done"}
    assert tree.stop() == 0


@pytest.mark.fault(74)
@on_each_store
def test_what_finished_tasks_left_is_there_although_a_slow_one_keeps_their_worker_silent(site: Site) -> None:
    ground = Ground(site, "tasks_per_transaction=100, give_back_after=None")
    tree = site.tree(workers=1, stop_timeout=0.5)
    site.push_many([{}] * 5, task="parent")
    eventually(lambda: recording(tree), 10, tree.text)
    numbers = site.push_many([{}] * 50 + [{"seconds": 60.0}], task="parent")
    slow = numbers.pop()
    site.started(slow)
    began = time.monotonic()
    eventually(lambda: ground.all_kept(numbers), 10, "their records are there")
    print(f"all records {time.monotonic() - began:.2f} s after the slow one had begun")
    assert ground.kept(slow) is None
    assert slow not in site.books().ends
    assert tree.stop() == 8


@pytest.mark.fault(75)
@on_each_store
def test_what_has_no_room_on_the_page_is_lost_nowhere_and_fills_no_memory(site: Site) -> None:
    ground = Ground(site, "tasks_per_transaction=100")
    tree = site.tree(workers=1)
    few = site.push_many([{"pad": 300_000}] * 5, task="parent")
    eventually(lambda: ground.all_kept(few), 20, tree.text)
    (worker,) = tree.workers()
    before = procfs.resident(worker) or 0
    many = site.push_many([{"pad": 300_000}] * size(100, 1000), task="parent")
    ground.settled(few + many, 0, within=60)
    grown = (procfs.resident(worker) or 0) - before
    assert grown < 15_000_000, f"{grown:,} bytes more after {len(many)} records of 300 kB"
    assert tree.stop() == 0


@pytest.mark.fault(76)
@on_each_store
def test_what_a_fenced_worker_left_is_refused_and_that_of_the_second_run_stands(site: Site) -> None:
    ground = Ground(site, "tasks_per_transaction=8, lease=2, recheck=0.2, give_back_after=None, settle_within=60")
    first = site.tree(workers=1)
    warm = site.push_many([{}] * 5, task="parent")
    eventually(lambda: recording(first), 10, first.text)
    (stale,) = first.workers()
    numbers = site.push_many([{}, {}, {"seconds": 1.0}, {}], task="parent")
    site.started(numbers[2])
    frozen = [first.pid, first.keeper(), stale]
    site.store.stop_between_writes(frozen)
    second = site.tree(workers=1)
    eventually(lambda: ground.all_kept(numbers), 15, second.text)
    for pid in reversed(frozen):
        os.kill(pid, signal.SIGCONT)
    first.event("lease.lost")
    site.store.quiet(20)
    ground.settled(warm + numbers, 4)
    (other,) = second.workers()
    assert {(ground.kept(n) or [0, 0])[1] for n in numbers[2:]} == {other}
