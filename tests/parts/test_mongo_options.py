"""Options of the driver in the URL: whatever they say, every operation names what its correctness rests on."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))
from harness import mongod
from regiment.contracts import Again, Back, Dead, Done, Terms
from regiment.errors import ConfigError, StoreError
from regiment_mongo import address
from regiment_mongo.connector import MongoConnector

MIB = 1 << 20

OPTIONS = [
    "readPreference=secondary",
    "readPreference=secondaryPreferred&maxStalenessSeconds=120",
    "readPreference=nearest",
    "readConcernLevel=linearizable",
    "readConcernLevel=majority",
    "readConcernLevel=available",
    "w=0",
    "w=majority&journal=true&wTimeoutMS=1",
    "retryWrites=false&retryReads=false",
    "tz_aware=false",
    "uuidRepresentation=standard",
    "datetime_conversion=DATETIME_MS",
    "appName=mine",
    "maxPoolSize=2",
    "maxPoolSize=0",
    "maxIdleTimeMS=1",
    "serverMonitoringMode=stream",
]


def push(connector: MongoConnector, *payloads: bytes) -> None:
    connector.push("q", payloads, priority=1, token=os.urandom(8).hex())


@pytest.mark.parametrize("options", OPTIONS)
def test_every_verb_works_with(mongo_set: mongod.Cluster, options: str) -> None:
    mongod.empty(mongo_set.url, "options")
    connector = MongoConnector(f"{mongo_set.at('options')}&{options}", timeout=5)
    connector.open("lease")
    connector.join("q", "me", Terms(poison_delays=()))
    push(connector, b"alone")
    push(connector, *(b"%d" % n for n in range(5)))
    assert len(connector.exchange("q", "me", 1, 1, [], 10, MIB).deliveries) == 6
    leaving = [Done(1, 1), Back(2, 2), Again(3, b"again"), Dead(4, "t", "why")]
    taken = connector.exchange("q", "me", 2, 7, leaving, 1, MIB)
    assert not taken.lost and [one.payload for one in taken.deliveries] == [b"0"]
    assert connector.counts("q")[:4] == (1, 0, 3, 1)
    (letter,) = connector.dead("q")
    assert connector.revive("q", {letter.id: None}) == 1
    connector.release("q", "me", [(5, 5)], {6: b"note"}, close=True)
    assert connector.counts("q")[:4] == (4, 0, 0, 0)
    # What is read back from a document is sent to the server again.
    connector.join("q", "next", Terms(lease=0.05))
    assert len(connector.exchange("q", "next", 1, 1, [], 10, MIB).deliveries) == 4
    connector._nodes[0]._rows.clear()
    assert not connector.exchange("q", "next", 2, 5, [Back(1, 4)], 0, MIB).lost
    connector.set("k", b"v", 60)
    assert connector.get("k") == b"v"
    assert connector.lock_take("l", "me", 60) and connector.lock_look("l") is not None
    assert connector.purge("q") == 4
    push(connector, b"hint")
    assert connector.wait([("q", "next")], 2.0) == ["q"]
    connector.close()


@pytest.mark.parametrize("url", ["mongodb://h/?maxPoolSize=1", "mongodb://h/d?w=1&maxpoolsize=1"])
def test_a_pool_of_one_connection_is_refused_before_anything_starts(url: str) -> None:
    with pytest.raises(ConfigError, match="maxPoolSize is 1; expected 2 or more, as a worker waits"):
        address.addresses(url, None, None)
    assert "maxPoolSize is 1" in MongoConnector.check({"url": url})[0]
    node = {"host": "h", "options": {"maxPoolSize": 1}}
    assert "maxPoolSize is 1" in MongoConnector.check({"nodes": [node]})[0]


@pytest.mark.parametrize(
    "options",
    ["datetime_conversion=nonsense", "directConnection=true&replicaSet=", "minPoolSize=100"],
)
def test_what_the_driver_refuses_is_said_in_words(options: str) -> None:
    made = MongoConnector(f"mongodb://127.0.0.1:1/d?{options}", timeout=0.5)
    with pytest.raises(StoreError, match=r"mongodb://127\.0\.0\.1:1/d"):
        made.open("lease")
