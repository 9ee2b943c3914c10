"""Row 55 of the fault matrix on Redis: many idle workers, one delayed task."""

from __future__ import annotations

import re
import statistics

import pytest

from harness.ledger import boot_ns
from harness.scale import size
from harness.servers import RedisServer
from harness.site import Site
from harness.wait import eventually, took

IDLE = 64


def scripts(server: RedisServer) -> int:
    """How many scripts the server has run."""
    info = server.ask("INFO", "commandstats")
    assert isinstance(info, bytes)
    found = re.search(rb"cmdstat_evalsha:calls=(\d+)", info)
    return int(found[1]) if found else 0


@pytest.mark.fault(55)
@pytest.mark.alone
def test_of_64_idle_workers_one_runs_a_delayed_task_when_it_is_due_and_each_asks_twice_at_most(
    site: Site, server: RedisServer
) -> None:
    """Renewals are out of the way: a lease of 300 s."""
    site.app("lease=300, recheck=120")
    tree = site.tree(workers=IDLE, ready=False)
    tree.ready(IDLE, within=120)
    idle = f"{IDLE} workers wait"
    eventually(lambda: server.ask("ZCARD", "regiment:{work}:waiting") == IDLE, 30, idle)
    late = []
    for _ in range(size(3, 20)):
        before = scripts(server)
        pushed = boot_ns()
        n = site.push(options={"delay": 0.7})
        books = site.ended(n, within=10)
        late.append(took(pushed, books.starts[n][0].at) - 0.7)
        eventually(lambda: server.ask("ZCARD", "regiment:{work}:waiting") == IDLE, 30, idle)
        asked = scripts(server) - before
        # Two events: a due time that is the first of all, and the time itself. The push is one script more.
        assert asked <= 2 * 2 * IDLE + 1, f"{asked} scripts for {IDLE} idle workers"
    assert statistics.median(late) < 0.05, f"seconds late: {late}"
    site.settle(5, extra_starts=0)
    assert tree.stop() == 0
