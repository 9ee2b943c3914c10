"""Row 55 of the fault matrix on MongoDB: many idle workers, one delayed task."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

import pytest

from harness import mongod
from harness.ledger import boot_ns
from harness.scale import size
from harness.site import Site
from harness.wait import eventually, took

IDLE = 64


@pytest.fixture(scope="module")
def server() -> Iterator[mongod.Cluster]:
    with mongod.cluster(replica_set="waking") as made:
        yield made


@pytest.fixture
def store(server: mongod.Cluster) -> str:
    mongod.empty(server.url, "faults")
    return server.at("faults")


def exchanges(server: mongod.Cluster) -> int:
    """How many the living consumers have had: each is a turn of its consumer."""
    with server.members[0].client() as client:
        rows = client["faults"]["regiment.consumers"].find({"st": 0}, {"turn": 1})
        return sum(int(row["turn"]) for row in rows)


def quiet(server: mongod.Cluster) -> int:
    """The exchanges when for half a second there was none."""

    def still() -> int | None:
        before = exchanges(server)
        time.sleep(0.5)
        return before if exchanges(server) == before else None

    return eventually(still, 60, f"{IDLE} workers wait")


@pytest.mark.fault(55)
@pytest.mark.alone
def test_of_64_idle_workers_one_runs_a_delayed_task_when_it_is_due_and_each_asks_twice_at_most(
    site: Site, server: mongod.Cluster
) -> None:
    """Renewals are out of the way: a lease of 300 s."""
    site.app("lease=300, recheck=120")
    tree = site.tree(workers=IDLE, ready=False)
    tree.ready(IDLE, within=120)
    site.ended(site.push(), within=30)  # which also connects the producer
    before = quiet(server)
    late = []
    for _ in range(size(3, 20)):
        pushed = boot_ns()
        n = site.push(options={"delay": 1.0})
        books = site.ended(n, within=10)
        late.append(took(pushed, books.starts[n][0].at) - 1.0)
        after = quiet(server)
        # Two events: a due time that is the first of all, and the time itself.
        assert after - before <= 2 * 2 * IDLE, f"{after - before} exchanges of {IDLE} idle workers"
        before = after
    assert statistics.median(late) < 0.05, f"seconds late: {late}"
    site.settle(5, extra_starts=0)
    assert tree.stop() == 0
