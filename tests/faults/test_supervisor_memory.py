"""Rows 16 and 17 of the fault matrix: tasks that take more memory than they may."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.ledger import boot_ns
from harness.site import Site
from harness.wait import alive, eventually, took

MIB = 1024 * 1024

BODY = '''
KEPT = []


def rss():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def take(mib):
    KEPT.append(bytearray(b"x") * (mib << 20))


@work.task
def leak(n, mib):
    write("M", os.getpid(), rss())
    begin(n)
    take(mib)
    end(n)


@work.task
def hog(n):
    """50 MB/s, without end."""
    begin(n)
    while True:
        take(5)
        write("H", os.getpid(), rss(), at())
        time.sleep(0.1)


@work.task
def burst(n, mib):
    """All at once."""
    begin(n)
    take(mib)
    time.sleep(60)
'''


@pytest.mark.fault(16)
def test_workers_that_leak_are_replaced_between_tasks_and_no_task_runs_twice(site: Site) -> None:
    site.app("tasks_per_transaction=10", body=BODY)
    tree = site.tree(workers=2, max_memory="200MiB")
    numbers = site.push_many([{"mib": 5}] * 100, task="leak")
    site.ended(*numbers, within=60)
    books = site.settle(5, extra_starts=0)
    between = [int(words[2]) for words in books.words if words[0] == "M"]
    assert len(between) == 100
    assert max(between) <= (200 + 5) * MIB, f"{max(between) / MIB:.0f} MiB in use at the start of a task"
    recycled = tree.events("worker.recycled")
    assert recycled, "some were replaced"
    for event in recycled:
        assert re.fullmatch(r"out of memory, 2\d\d MiB of 200", event["reason"])
    assert not tree.events("worker.crashed")
    assert tree.stop() == 0


@pytest.mark.fault(16)
def test_a_hog_is_dead_within_a_second_of_the_hard_limit_and_buried_after_five_deliveries(
    site: Site,
) -> None:
    site.app("recheck=0.2, poison_delays=(0.0,)", body=BODY)
    tree = site.tree(workers=2, max_memory="100MiB", memory_factor=1.5)
    n = site.push("hog")
    first = site.started(n).starts[n][0]
    siblings = site.push_many([{"seconds": 0.05}] * 100)
    eventually(lambda: not alive(first.pid), 10, "killed")
    gone = boot_ns()
    above = [
        int(words[3])
        for words in site.books().words
        if words[0] == "H" and int(words[1]) == first.pid and int(words[2]) > 150 * MIB
    ]
    assert not above or took(above[0], gone) < 1.0, "within a second of crossing the hard limit"
    most = max(int(words[2]) for words in site.books().words if words[0] == "H" and int(words[1]) == first.pid)
    assert most < 200 * MIB, "it grew for a second at most"
    site.ended(*siblings, within=20)
    site.store.quiet(40)
    books = site.books()
    reason = site.store.dead()[n]
    assert len(books.starts[n]) == 5
    assert [line.delivery for line in books.starts[n]] == [0, 1, 2, 3, 4]
    assert reason["kind"] == "poison"
    assert re.search(r"5 times; the last reason that is known: out of memory, \d+ MiB of 150$", reason["error"]), reason
    assert max(len(books.starts[other]) for other in siblings) == 1, "neighbors were left alone"
    crashes = tree.events("worker.crashed")
    assert {event["reason"].split(",")[0] for event in crashes} == {"out of memory"}
    assert tree.stop() == 0


@pytest.fixture
def group(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A control group with a limit of 150 MiB, cgroup 1 or 2, where we may make one."""
    name = f"regiment-test-{os.getpid()}"
    one, two = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
        mine = next((line.split(":", 2)[2] for line in lines if "memory" in line.split(":")[1]), "/")
        if (one / "memory.limit_in_bytes").exists() or (one / mine.lstrip("/") / "memory.limit_in_bytes").exists():
            folder = one / mine.lstrip("/") / name
            folder.mkdir()
            (folder / "memory.limit_in_bytes").write_text(str(150 * MIB))
        else:
            folder = two / name
            folder.mkdir()
            (folder / "memory.max").write_text(str(150 * MIB))
            (folder / "memory.swap.max").write_text("0")
    except OSError as error:
        pytest.skip(f"NOT SHOWN: row 17 needs a control group with a memory limit, and none can be made here: {error}")
    yield folder
    eventually(lambda: not (folder / "cgroup.procs").read_text().split(), 5)
    folder.rmdir()


@pytest.mark.fault(17)
def test_a_kill_by_the_kernel_for_memory_is_told_apart_and_counted(group: Path, site: Site) -> None:
    site.app("recheck=0.2, poison_delays=(0.0,), max_deliveries=2", body=BODY)
    (group / "cgroup.procs").write_text(str(os.getpid()))  # what we start is born in the group
    try:
        tree = site.tree(workers=2, ready=False)
    finally:
        (group.parent / "cgroup.procs").write_text(str(os.getpid()))
    tree.ready(2)
    others = site.push_many([{}] * 20)
    site.ended(*others)
    n = site.push("burst", mib=400)
    site.started(n)
    site.store.quiet(20)
    books = site.books()
    assert [line.delivery for line in books.starts[n]] == [0, 1]
    reasons = [event["reason"] for event in tree.events("worker.crashed")]
    assert "killed by the kernel: out of memory" in reasons, reasons
    assert "out of memory" in site.store.dead()[n]["error"]
    assert not tree.events("supervisor.stopping"), "SIGKILL is no request to stop"
    later = site.push_many([{}] * 20)
    site.ended(*later)
    assert tree.stop() == 0
