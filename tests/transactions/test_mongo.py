"""MongoDB: a push in the caller's own session is a part of his transaction."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import mongod
from regiment import ArgumentsError, Queue, StoreError
from regiment_limits import Limits
from regiment_mongo import enqueue, wake_waiting
from regiment_results import Results
from regiment_testing import capture
from transactions.conftest import ready


def ship(order: int) -> None: ...


@pytest.fixture(scope="module")
def replicas() -> Iterator[mongod.Cluster]:
    with mongod.cluster(replica_set="one") as made:
        yield made


@pytest.fixture
def shop(replicas: mongod.Cluster) -> Iterator[Any]:
    """The database of an application, and a queue in the same one."""
    database = f"shop{time.monotonic_ns()}"
    url = replicas.at(database)
    queue = Queue("parcels", connector=url)
    queue.task(ship)
    queue.broker.open(
        "push"
    ).close()  # makes the collections: a transaction that is open meanwhile would have to be repeated
    with replicas.primary().client() as client:
        client[database].create_collection("orders")
        yield client, client[database].orders, queue
    queue.broker.close()


def test_an_abort_leaves_nothing_and_a_commit_has_both(shop: Any) -> None:
    client, orders, queue = shop
    task = queue.tasks["ship"]
    with client.start_session() as session:
        with pytest.raises(LookupError), session.start_transaction():
            orders.insert_one({"n": 1}, session=session)
            enqueue(session, task, order=1)
            raise LookupError
        assert (orders.count_documents({}), ready(queue)) == (0, [])
        with session.start_transaction():
            orders.insert_one({"n": 2}, session=session)
            told = enqueue(session, task, order=2)
            enqueue(session, task.options(delay=60), order=3)
            enqueue(session, task.options(priority="HIGH"), order=4)
            assert ready(queue) == []
            with pytest.raises(ArgumentsError, match="expected after its commit"):
                wake_waiting(session)
        wake_waiting(session)
    assert told.id and not told.existed
    assert orders.count_documents({}) == 1 and [one["order"] for one in ready(queue)] == [4, 2]
    look = queue.broker.open("look")
    assert look.counts("parcels").delayed == 1
    look.close()


def test_an_id_of_one_s_own_holds_across_transactions_and_pushes(shop: Any) -> None:
    client, _, queue = shop
    task = queue.tasks["ship"].options(id="seven")
    with client.start_session() as session:
        session.with_transaction(lambda inner: enqueue(inner, task, order=7))
        assert task.push(order=7).existed
        with session.start_transaction():
            assert enqueue(session, task, order=7).existed
    assert len(ready(queue)) == 1


def test_transactions_side_by_side_disturb_neither_each_other_nor_a_push(shop: Any) -> None:
    client, _, queue = shop
    with client.start_session() as one, client.start_session() as two:
        with one.start_transaction():
            enqueue(one, queue.tasks["ship"], order=1)
            with two.start_transaction():
                enqueue(two, queue.tasks["ship"], order=2)
            queue.tasks["ship"].push(order=3)
    assert sorted(one["order"] for one in ready(queue)) == [1, 2, 3]


def test_what_cannot_be_part_of_a_transaction_is_refused_in_words(shop: Any, tmp_path: Path) -> None:
    client, _, queue = shop
    url = queue.config.connector
    with client.start_session() as session:
        with pytest.raises(ArgumentsError, match="this session is in no transaction"):
            enqueue(session, queue.tasks["ship"], order=1)
        with session.start_transaction():
            for name, plugin, options, said in (
                ("kept", Results(ttl=60), {}, "has a Keep that a plugin adds"),
                ("lanes", Limits(), {"lane": "ada"}, "has a pool, a lane or a unique key"),
            ):
                other = Queue(name, connector=url, plugins=[plugin])
                other.task(ship)
                with pytest.raises(ArgumentsError, match=said):
                    enqueue(session, other.tasks["ship"].options(**options), order=1)
                other.broker.close()
            far = Queue("far", connector=f"sqlite:///{tmp_path / 'far.db'}")
            far.task(ship)
            with pytest.raises(ArgumentsError, match="this session writes to MongoDB"):
                enqueue(session, far.tasks["ship"], order=1)
            far.broker.close()
            with pytest.raises(ArgumentsError, match="expected a task function"):
                enqueue(session, ship, order=1)
        with pytest.raises(ArgumentsError, match="expected a ClientSession"):
            enqueue(client, queue.tasks["ship"], order=1)
    with capture(queue) as captured, client.start_session() as session:
        enqueue(session, queue.tasks["ship"], order=1)
        captured.assert_pushed(queue.tasks["ship"], order=1)


def test_a_stand_alone_server_and_another_cluster_are_refused_in_words(shop: Any) -> None:
    client, _, queue = shop
    with mongod.cluster() as alone:
        lonely = Queue("parcels", connector=alone.at("shop"))
        lonely.task(ship)
        with client.start_session() as session, session.start_transaction():
            with pytest.raises(StoreError, match="is no replica set, and only one has transactions"):
                enqueue(session, lonely.tasks["ship"], order=1)
        with alone.primary().client() as other, other.start_session() as session, session.start_transaction():
            with pytest.raises(ArgumentsError, match="and this session in another cluster"):
                enqueue(session, queue.tasks["ship"], order=1)
        lonely.broker.close()
