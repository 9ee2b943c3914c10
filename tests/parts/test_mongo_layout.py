"""What somebody dropped or changed in the store is made again, by the next opening and by whoever meets the gap, or refused in words."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

sys.path.insert(0, str(Path(__file__).parent.parent))
from harness import mongod
from regiment.contracts import Terms
from regiment.errors import StoreError, StoreUnavailable
from regiment_mongo.connector import MongoConnector
from regiment_mongo.layout import INDEXES

MIB = 1 << 20
EACH = [(name, index.document["name"]) for name, indexes in INDEXES.items() for index in indexes]


@pytest.fixture
def database(mongo_url: str) -> Iterator[Database[dict[str, Any]]]:
    with mongod.MongoClient(mongo_url) as client:
        client.drop_database("layout")
        opened(mongo_url).close()
        yield client["layout"]
        client.drop_database("layout")


def opened(mongo_url: str, role: str = "lease") -> MongoConnector:
    made = MongoConnector(mongod.with_database(mongo_url, "layout"), timeout=5)
    made.open(role)  # type: ignore[arg-type]
    return made


def push(connector: MongoConnector, *payloads: bytes) -> None:
    connector.push("q", payloads, priority=1, token=os.urandom(8).hex())


def lacking(mongo_url: str) -> str:
    """What `check --connect` says of it."""
    connector = opened(mongo_url, "look")
    try:
        return "".join(line for line in connector.warnings() if " lacks " in line)
    finally:
        connector.close()


@pytest.mark.parametrize("name,index", EACH, ids=[f"{name}.{index}" for name, index in EACH])
def test_an_index_that_was_dropped_is_named_by_the_check_and_made_again_by_the_next_opening(
    mongo_url: str, database: Database[dict[str, Any]], name: str, index: str
) -> None:
    assert lacking(mongo_url) == ""
    database[f"regiment.{name}"].drop_index(index)
    assert f"regiment.{name}/{index}" in lacking(mongo_url)
    opened(mongo_url).close()
    assert lacking(mongo_url) == ""


@pytest.mark.parametrize("name", [*INDEXES, "wakes", "meta", "everything"])
def test_a_collection_that_was_dropped_is_made_again_under_a_worker_at_work(
    mongo_url: str, database: Database[dict[str, Any]], name: str
) -> None:
    worker = opened(mongo_url)
    worker.join("q", "me", Terms())
    push(worker, b"before")
    assert len(worker.exchange("q", "me", 1, 1, [], 5, MIB).deliveries) == 1
    if name == "everything":
        database.client.drop_database("layout")
    else:
        database[f"regiment.{name}"].drop()
    consumer, turn = "me", 2
    if name in ("consumers", "everything"):
        consumer, turn = "new", 1  # it is unknown, and its worker joins anew
        worker.join("q", "new", Terms())
    push(worker, b"after")
    found: list[bytes] = []
    began = time.monotonic()
    while b"after" not in found and time.monotonic() - began < 10:
        try:
            taken = worker.exchange("q", consumer, turn, 10 * turn, [], 5, MIB)
        except StoreUnavailable:
            continue
        found += [one.payload for one in taken.deliveries]
        turn += 1
        time.sleep(0.05)
    assert found == [b"after"]
    worker.close()
    opened(mongo_url).close()
    assert lacking(mongo_url) == ""


@pytest.mark.parametrize("how", ["dropped", "made again by a push"])
def test_who_waits_is_woken_again_soon_after_the_hints_were_dropped(
    mongo_url: str, database: Database[dict[str, Any]], how: str
) -> None:
    worker, producer = opened(mongo_url), opened(mongo_url, "push")
    worker.join("q", "me", Terms())
    worker.exchange("q", "me", 1, 1, [], 5, MIB)
    database["regiment.wakes"].drop()
    if how != "dropped":
        database["regiment.wakes"].insert_one({"k": "q", "q": "other"})
    began = time.monotonic()
    capped = False
    while not capped and time.monotonic() - began < 10:
        time.sleep(0.1)
        found = list(database.list_collections(filter={"name": "regiment.wakes"}))
        capped = bool(found and found[0]["options"].get("capped"))
    assert capped
    worker.exchange("q", "me", 2, 1, [], 5, MIB)
    time.sleep(1.2)  # until the listener stands again, and everybody was woken for that
    turn = 3
    for n in range(3):
        worker.exchange("q", "me", turn, 10 * turn, [], 5, MIB)
        push(producer, b"%d" % n)
        began = time.monotonic()
        assert worker.wait([("q", "me")], 5.0) == ["q"]
        assert time.monotonic() - began < 2, "by a hint"
        turn += 1
        assert worker.exchange("q", "me", turn, 10 * turn, [], 5, MIB).deliveries
        turn += 1
    producer.close()
    worker.close()


def test_an_index_that_is_there_and_not_unique_is_refused_in_words(
    mongo_url: str, database: Database[dict[str, Any]]
) -> None:
    """Two consumers could hold one task."""
    database["regiment.consumers"].drop_index("held")
    database["regiment.consumers"].create_index([("held.t", 1)], name="held")
    assert "regiment.consumers/held (unique)" in lacking(mongo_url)
    with pytest.raises(
        StoreError, match=r"the indexes of regiment\.consumers cannot be made.*remove the index"
    ) as caught:
        opened(mongo_url)
    assert not isinstance(caught.value, StoreUnavailable), "nobody waits for it to get better"
