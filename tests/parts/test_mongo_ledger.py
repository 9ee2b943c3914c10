"""Entries on MongoDB: one guarded write in the consumer's document, against whoever else has changed it; nothing where there are none."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))
from harness import mongod
from regiment.contracts import LARGEST_LEDGER, Back, Done, Terms
from regiment.errors import StoreError, StoreUnavailable
from regiment_mongo.connector import MongoConnector
from regiment_testing.contracts.bench import Consumer, push

CHARGED = {"charge": b"receipt 7", "a.$x\0": b"\x00\xff"}


@pytest.fixture
def url(cluster: mongod.Cluster) -> str:
    mongod.empty(cluster.url, "entries")
    return mongod.with_database(cluster.url, "entries")


@pytest.fixture(scope="module", params=[None, "rs"], ids=["stand-alone", "set"])
def cluster(request: pytest.FixtureRequest) -> Iterator[mongod.Cluster]:
    with mongod.cluster(replica_set=request.param) as made:
        yield made


def opened(*urls: str) -> MongoConnector:
    made = MongoConnector(urls[0], timeout=10) if len(urls) == 1 else MongoConnector(nodes=list(urls), timeout=2)
    made.open("lease")
    return made


def documents(cluster: mongod.Cluster, name: str) -> list[dict[str, Any]]:
    with cluster.primary().client() as client:
        return list(client["entries"][f"regiment.{name}"].find())


def holding(connector: MongoConnector, payload: bytes = b"a", **terms: Any) -> Consumer:
    """A consumer that holds receipt 1."""
    push(connector, "q", payload)
    worker = Consumer(connector, terms=Terms(**terms))
    assert len(worker.take()) == 1
    return worker


def test_a_worker_enters_after_its_keeper_has_changed_its_document(url: str) -> None:
    store = opened(url)
    worker = holding(store)
    push(store, "q", b"b")
    worker.take()
    opened(url).release("q", worker.name, [(2, 2)], {}, only=(2, 2))
    assert store.enter("q", worker.name, 1, CHARGED) == CHARGED
    assert opened(url).enter("q", worker.name, 1, {"more": b"1"}) == {**CHARGED, "more": b"1"}
    assert store.enter("q", worker.name, 1, {"more": b"2"}) == {**CHARGED, "more": b"2"}
    assert list(worker.exchange(Done(1, 1), limit=0).lost) == []


def test_a_delivery_that_its_keeper_gave_back_is_not_entered_by_a_worker_that_knows_nothing_of_it(url: str) -> None:
    store = opened(url)
    worker = holding(store)
    opened(url).release("q", worker.name, (), {}, only=(1, 1))
    assert store.enter("q", worker.name, 1, CHARGED) is None and store.enter("q", worker.name, 1) is None
    [delivery] = worker.take()
    assert store.enter("q", worker.name, delivery.receipt) == {}


def test_documents_without_entries_have_no_field_for_them(url: str, cluster: mongod.Cluster) -> None:
    store = opened(url)
    worker = holding(store)
    assert store.enter("q", worker.name, 1) == {}
    assert all("en" not in item for consumer in documents(cluster, "consumers") for item in consumer["held"])
    worker.exchange(Back(1, 1), limit=0)
    assert ["en" in task for task in documents(cluster, "tasks") if "b" in task] == [False]


@pytest.mark.long
def test_entries_that_have_no_room_beside_what_is_held_are_refused_in_words(url: str) -> None:
    """A document of MongoDB has at most 16 MiB; the settlements of what is held are still taken."""
    store = opened(url)
    worker = holding(store, bytes(15 * 1024 * 1024))
    for number in range(90):
        push(store, "q", b"%d" % number)
    held = [delivery.receipt for delivery in worker.take(90)]
    assert len(held) == 90
    with pytest.raises(StoreError, match="entries have no room beside it; lease fewer tasks at a time"):
        for receipt in held:
            store.enter("q", worker.name, receipt, {"large": bytes(LARGEST_LEDGER - 5)})
    assert list(worker.exchange(Done(1, held[-1]), limit=0).lost) == []


def test_of_several_clusters_the_one_of_the_delivery_has_the_entries(url: str) -> None:
    with mongod.cluster(replica_set="other") as other:
        store = opened(url, other.at("entries"))
        worker = Consumer(store)
        push(opened(url), "q", b"1")
        push(opened(other.at("entries")), "q", b"2")
        receipts = {delivery.payload: delivery.receipt for _ in range(2) for delivery in worker.take(2)}
        for receipt in receipts.values():
            assert store.enter("q", worker.name, receipt, {"n": b"%d" % receipt}) == {"n": b"%d" % receipt}
        assert store.enter("q", worker.name, 99) is None
        assert opened(url).enter("q", worker.name, receipts[b"2"]) is None
        other.primary().kill()
        assert store.enter("q", worker.name, receipts[b"1"]) == {"n": b"%d" % receipts[b"1"]}
        with pytest.raises(StoreUnavailable):
            store.enter("q", worker.name, receipts[b"2"], CHARGED)
        store.close()
