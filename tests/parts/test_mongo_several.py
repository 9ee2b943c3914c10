"""Several independent MongoDB clusters as one store: spread, and one that is down."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))
from harness import mongod
from regiment.contracts import Dead, Delivery, Done, Keep, Seen, Send, Taken, Terms
from regiment.errors import StoreUnavailable
from regiment_mongo.connector import MongoConnector

MIB = 1 << 20


@pytest.fixture
def pair() -> Iterator[list[mongod.Cluster]]:
    with mongod.cluster() as left, mongod.cluster() as right:
        yield [left, right]


@pytest.fixture
def connector(pair: list[mongod.Cluster]) -> Iterator[MongoConnector]:
    made = MongoConnector(nodes=[one.url for one in pair], timeout=2)
    made.open("lease")
    yield made
    made.close()


class Worker:
    """Settles what it had and takes what comes next, repeating what was not answered."""

    def __init__(self, connector: MongoConnector, limit: int = 3) -> None:
        self.connector, self.limit = connector, limit
        self.turn, self.base = 0, 1
        self.done: list[Done] = []
        self.ran: list[bytes] = []
        connector.join("q", "me", Terms())

    def step(self, seconds: float = 30) -> list[Delivery]:
        self.turn += 1
        end = time.monotonic() + seconds
        while True:
            try:
                taken: Taken = self.connector.exchange("q", "me", self.turn, self.base, self.done, self.limit, MIB)
                break
            except StoreUnavailable:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)
        assert not taken.lost
        self.done = [Done(d.receipt, d.receipt) for d in taken.deliveries]
        self.base += len(taken.deliveries)
        self.ran += [d.payload for d in taken.deliveries]
        return list(taken.deliveries)

    def until(self, enough: Callable[[], bool]) -> None:
        end = time.monotonic() + 60
        while not enough():
            assert time.monotonic() < end, f"ran {len(self.ran)} in 60 s"
            self.step()


def push(connector: MongoConnector, numbers: range) -> None:
    for n in numbers:
        connector.push("q", [b"%d" % n], priority=1, token=f"t{n}")


def test_pushes_are_spread_and_one_consumer_runs_them_all_once(connector: MongoConnector) -> None:
    push(connector, range(40))
    assert all(node.counts_many(["q"])[0].ready > 5 for node in connector._nodes)
    worker = Worker(connector)
    worker.until(lambda: len(worker.ran) >= 40)
    worker.step()
    assert sorted(map(int, worker.ran)) == list(range(40))
    assert connector.counts("q")[:3] == (0, 0, 0)


def test_a_push_repeated_is_one_task_wherever_it_went(connector: MongoConnector) -> None:
    push(connector, range(10))
    push(connector, range(10))
    assert connector.counts("q").ready == 10


def test_a_cluster_that_is_down_delays_only_its_own_tasks(
    connector: MongoConnector, pair: list[mongod.Cluster]
) -> None:
    push(connector, range(40))
    there = connector._nodes[0].counts_many(["q"])[0].ready
    worker = Worker(connector)
    pair[1].members[0].kill()
    push(connector, range(100, 110))
    worker.until(lambda: len(worker.ran) >= there + 10)
    assert connector._nodes[0].counts_many(["q"])[0].ready == 0
    pair[1].members[0].start()
    worker.until(lambda: len(worker.ran) >= 50)
    worker.step()
    assert sorted(map(int, worker.ran)) == [*range(40), *range(100, 110)]


def test_a_cluster_that_lost_a_join_in_a_crash_hears_of_it_again(connector: MongoConnector) -> None:
    push(connector, range(40))
    worker = Worker(connector)
    worker.step(), worker.step()
    forgetful = next(n for n in connector._nodes if not any(n.knows("q", "me", one.first) for one in worker.done))
    assert forgetful._consumers.delete_one({"_id": "q me"}).deleted_count == 1
    worker.until(lambda: len(worker.ran) >= 40)
    worker.step()
    assert sorted(map(int, worker.ran)) == list(range(40))


def test_dead_letters_of_all_clusters_are_paged_newest_first(connector: MongoConnector) -> None:
    push(connector, range(12))
    connector.join("q", "me", Terms())
    turn, base = 1, 1
    while connector.counts("q").dead < 12:
        assert turn < 50
        taken = connector.exchange("q", "me", turn, base, [], 2, MIB)
        base += len(taken.deliveries)
        letters = [Dead(d.receipt, d.payload.decode(), b"{}") for d in taken.deliveries]
        connector.exchange("q", "me", turn + 1, base, letters, 0, MIB)
        turn += 2
    whole = connector.dead("q")
    assert [letter.at for letter in whole] == sorted((letter.at for letter in whole), reverse=True)
    paged: list[str] = []
    while page := connector.dead("q", 1, after=paged[-1] if paged else None):
        paged.append(page[0].id)
    assert paged == [letter.id for letter in whole]
    assert len(paged) == 12


def test_effects_of_a_task_go_to_the_home_of_their_queue_also_when_that_was_down(
    connector: MongoConnector, pair: list[mongod.Cluster]
) -> None:
    """Nothing else waits for it, and its outbox is sent on when it is back."""
    homes = {connector._nodes.index(connector._home(name)): name for name in map(str, range(50))}
    push(connector, range(40))
    worker = Worker(connector, limit=1)
    while True:
        [delivery] = worker.step()
        if connector._nodes[0].knows("q", "me", delivery.receipt):
            break
    effects = {
        delivery.receipt: [
            effect
            for home in (0, 1)
            for effect in (Keep("k", b"v", 600.0, queue=homes[home]), Send(homes[home], [b"child"]))
        ]
    }
    member = pair[1].members[0]
    member.kill()
    worker.turn += 1
    taken = connector.exchange("q", "me", worker.turn, worker.base, worker.done, 0, MIB, effects=effects)
    assert not taken.lost
    worker.done = []
    assert connector.records(homes[0], ["k"])[0] is not None
    member.start()
    end = time.monotonic() + 30
    while True:
        worker.step()
        with suppress(StoreUnavailable):
            if connector.records(homes[1], ["k"])[0] is not None:
                break
        assert time.monotonic() < end
        time.sleep(0.2)
    for _ in range(3):
        worker.step()
    for home in (0, 1):
        assert [task.payload for task in connector._nodes[home].peek(homes[home], "ready")] == [b"child"]


def walk(connector: MongoConnector, limit: int, holding: bytes = b"") -> list[Seen]:
    found: list[Seen] = []
    after: str | None = None
    while True:
        glance = connector.look("q", "ready", limit, after=after, holding=holding)
        found += glance.tasks
        if (after := glance.after) is None:
            return found


def test_a_look_goes_through_all_clusters_by_priority_and_a_hand_changes_tasks_on_each(
    connector: MongoConnector,
) -> None:
    push(connector, range(40))
    for n in range(40, 60):
        connector.push("q", [b"%d" % n], priority=0, token=f"t{n}")
    whole = walk(connector, 100)
    assert [task.priority for task in whole] == [0] * 20 + [1] * 40
    assert sorted(int(task.payload) for task in whole) == list(range(60))
    for limit in (1, 7):
        assert [task.place for task in walk(connector, limit)] == [task.place for task in whole]
    assert len({task.place for task in whole}) == 60
    assert sorted(int(task.payload) for task in walk(connector, 3, b"7")) == [7, 17, 27, 37, 47, 57]
    places = [task.place for task in whole]
    assert connector.steer("q", places[::2], drop=True) == places[::2]
    assert connector.steer("q", [*places, "9:x", "x"], priority=5) == places[1::2]
    assert all(node.counts_many(["q"])[0].ready > 5 for node in connector._nodes)
    assert connector.counts_many(["q", "none"])[0].ready == 30
    with pytest.raises(ValueError, match="expected what the last look at this queue answered"):
        connector.look("q", "ready", after="[1]")


def test_a_hand_that_a_cluster_did_not_answer_goes_on_at_its_repeat(
    connector: MongoConnector, pair: list[mongod.Cluster]
) -> None:
    """What it had done on the other one is in the answer of the repeat."""
    push(connector, range(40))
    places = [task.place for task in walk(connector, 100)]
    connector.post("q", orders={"host:a": "quiet"})
    pair[1].members[0].kill()
    with pytest.raises(StoreUnavailable):
        connector.steer("q", places, delay=600)
    pair[1].members[0].start()
    end = time.monotonic() + 60
    while True:
        with suppress(StoreUnavailable):
            assert connector.steer("q", places, delay=600) == places
            break
        assert time.monotonic() < end
    assert connector.counts("q").delayed == 40 and connector.board("q").orders == {"host:a": "quiet"}
