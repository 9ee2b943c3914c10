"""What the MongoDB connector promises beyond the contract: indexes, addresses, refusals, faults between two writes."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient, WriteConcern, monitoring
from pymongo.errors import AutoReconnect

sys.path.insert(0, str(Path(__file__).parent.parent))
from harness import mongod
from regiment import Queue
from regiment.contracts import (
    Again,
    Arrive,
    Back,
    Dead,
    Done,
    Drop,
    Join,
    Keep,
    Park,
    Seal,
    Send,
    Shut,
    Terms,
    When,
)
from regiment.errors import ConfigError, Fenced, PayloadTooLarge, StoreError, StoreUnavailable
from regiment_mongo import Mongo, claiming
from regiment_mongo.address import addresses
from regiment_mongo.clock import Clock
from regiment_mongo.connector import MongoConnector
from regiment_mongo.hand import Begun
from regiment_mongo.layout import LAYOUT
from regiment_mongo.ledger import waiting

MIB = 1 << 20
Documents = MongoClient[dict[str, Any]]


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return f"t{abs(hash(request.node.name)) % 10**8}"


@pytest.fixture
def connector(mongo_set: mongod.Cluster, name: str) -> Iterator[MongoConnector]:
    made = MongoConnector(mongo_set.at(name), timeout=10)
    made.open("lease")
    yield made
    made.close()


def push(connector: MongoConnector, *payloads: bytes, queue: str = "q", **more: Any) -> None:
    connector.push(queue, payloads, **{"priority": 1, "token": os.urandom(8).hex(), **more})


def heard(url: str, listener: monitoring.CommandListener) -> MongoConnector:
    """A connector, opened, of whose commands a listener hears. The driver takes listeners at the making of a client; a
    registered one hears every client made from then on.
    """
    monitoring.register(listener)
    try:
        made = MongoConnector(url, timeout=30)
        made.open("lease")
    finally:
        monitoring._LISTENERS.command_listeners.remove(listener)
    return made


# Indexes


class Explained(monitoring.CommandListener):
    """Has the server explain every read and write that names a filter, in the moment before it is executed."""

    WAITS_OR_LISTS = (".wakes", ".presence")
    """One is read in the order of its disk, from the end; of the other everything is wanted."""

    def __init__(self, database: Any) -> None:
        self._database = database
        self.plans: list[tuple[str, str, Any, dict[str, Any]]] = []
        """Command, collection, filter, and the answer."""
        self.lookups: list[dict[str, Any]] = []
        """Stages that look into another collection, as they were executed."""

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        name, command = event.command_name, dict(event.command)
        collection = command.get(name)
        if not isinstance(collection, str) or collection.endswith(self.WAITS_OR_LISTS):
            return
        if name == "aggregate" and any("$lookup" in stage for stage in command["pipeline"]):
            whole = {"aggregate": collection, "pipeline": command["pipeline"], "cursor": {}}
            answer = self._database.command({"explain": whole, "verbosity": "executionStats"})
            self.lookups += [stage for stage in answer["stages"] if "$lookup" in stage]
        for query, explained in self._of(name, collection, command):
            ask = {"explain": explained, "verbosity": "executionStats"}
            self.plans.append((name, collection, query, self._database.command(ask)))

    def _of(self, name: str, collection: str, command: dict[str, Any]) -> Iterator[Any]:
        """Filters, and commands to explain; a count is explained as the search for what is counted."""
        hint = {"hint": command["hint"]} if command.get("hint") else {}
        if name == "aggregate":
            query = command["pipeline"][0]["$match"]
            yield query, {"find": collection, "filter": query, **hint}
        elif name == "count":
            yield command["query"], {"find": collection, "filter": command["query"], **hint}
        elif name in ("find", "distinct", "findAndModify"):
            mine = ("filter", "sort", "limit", "hint", "key", "query", "update", "remove", "upsert")
            parts = {k: v for k, v in command.items() if k in mine}
            yield command.get("filter", command.get("query")), {name: collection, **parts}
        elif name in ("update", "delete"):
            for each in command[name + "s"]:
                yield each["q"], {name: collection, name + "s": [each]}

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None: ...

    def failed(self, event: monitoring.CommandFailedEvent) -> None: ...


def stages(plan: Any) -> Iterator[dict[str, Any]]:
    """All stages of a plan."""
    if isinstance(plan, dict):
        if "stage" in plan:
            yield plan
        for value in plan.values():
            yield from stages(value)
    elif isinstance(plan, list):
        for value in plan:
            yield from stages(value)


def everything(made: MongoConnector) -> None:
    """Every verb, on a queue of some size, with others beside it."""
    for n in range(20):
        push(made, *(b"%d" % i for i in range(50)), priority=n % 3)
    push(made, *(b"%d" % i for i in range(500)), delay=600)
    push(made, *(b"o" for _ in range(500)), queue="other")
    for _ in range(2):
        push(made, b"id", ids=["id"])
    for name in ("me", *(f"c{n}" for n in range(20))):
        made.join("q", name, Terms(dead_limit=20))
    made.exchange("q", "me", 1, 1, [], 200, MIB)
    settled = [Done(1, 150), *(Dead(n, f"t{n}", b"{}") for n in range(151, 196))]
    moved = [Park(196, 9), Again(197, b"x"), Again(198, b"x", 9), Back(199, 200)]
    made.exchange("q", "me", 2, 201, [*settled, *moved], 100, MIB)
    made.release("q", "me", [(201, 210)], {211: b"note"}, only=(201, 250))
    made.renew([("q", "me"), ("q", "c1")], 30)
    # A claim of tasks that another holds, an old promotion, an overdue consumer.
    node = made._nodes[0]
    node._collided(node._facts["q"], [], 1)
    node._there([ObjectId()])
    if node._is_set:
        node._there_at(node.tell("q", WriteConcern(1))["operationTime"], [ObjectId()])
    push(made, b"soon", delay=0.2, queue="small")
    for name in ("dies", "lives"):
        made.join("small", name, Terms(lease=0.2))
    push(made, b"1", b"2", queue="small")
    assert len(made.exchange("small", "dies", 1, 1, [], 2, MIB).deliveries) == 2
    back = []
    for turn in range(1, 50):
        made.renew([("small", "lives")], 0.2)
        base = len(back) + 1
        back += made.exchange("small", "lives", turn, base, [], 2, MIB).deliveries
        time.sleep(0.05)
    assert len(back) == 3
    assert not made.exchange("small", "lives", 50, 4, [Done(1, 3)], 1, MIB).deliveries
    made.release("small", "lives", [], {}, close=True)
    made.counts("q"), made.queues(), made.board("q"), made.post("q", cancel=["x"])
    for state in ("ready", "delayed", "leased"):
        made.peek("q", state)  # type: ignore[arg-type]
    letters = made.dead("q", 5)
    made.dead("q", 5, after=letters[-1].id), made.letters("q", letters[0].task_id)
    made.revive("q", {letters[0].id: None}), made.drop("q", [letters[1].id]), made.drop("q")
    made.set("k", b"v", 9), made.get("k"), made.delete("k")
    made.lock_take("l", "o", 9), made.lock_look("l"), made.lock_free("l", "o")
    made.announce("p", b"v", 9)
    everything_of_an_operator(made)
    made.purge("q")
    everything_left_behind(made)


def everything_of_an_operator(made: MongoConnector) -> None:
    """The verbs of the extra `steer`, with other queues, notices and acts beside those that are meant."""
    push(made, *(b"%d" % n for n in range(20)), queue="other", delay=600)
    push(made, b"named", ids=["named"], queue="ids")
    for state in ("ready", "delayed", "leased"):
        seen = made.look("q", state, 20)  # type: ignore[arg-type]
        assert len(seen.tasks) == 20 and seen.after
        made.look("q", state, 20, after=seen.after)  # type: ignore[arg-type]
        made.look("q", state, 20, holding=b"9")  # type: ignore[arg-type]
    places = [one.place for state in ("ready", "delayed") for one in made.look("q", state, 1000).tasks]  # type: ignore[arg-type]
    assert len(made.steer("q", places[:600:10], delay=0, priority=7)) == 60
    assert len(made.steer("q", places[1:600:10], delay=600)) == 60
    assert len(made.steer("q", places[-20:], drop=True)) == 20
    assert made.steer("q", places[:2], drop=True) == []
    [named] = made.look("ids", "ready", holding=b"name").tasks
    made.steer("ids", [named.place], drop=True)
    node = made._nodes[0]
    hand = left_by_a_hand(made, "q", places[60:70])
    assert len(made.steer("q", places[60:80], priority=8)) == 8, "those that nobody holds"
    node._facts["q"].tended = 0.0
    made.exchange("q", "me", 3, 1000, [], 0, MIB)
    assert node._consumers.count_documents({"_id": hand, "h": 0}) == 1
    assert [counts.delayed for counts in made.counts_many(["q", "other", "none"])][1:] == [20, 0]
    for queue in ("q", "other"):
        made.post(queue, cancel=map(str, range(50)), orders={"host:a.b": "quiet"})
        for n in range(30):
            made.act(queue, b"{}", token=str(n))
    made.post("q", cancel=["a"], clear=["1"], orders={"host:a.b": None}), made.board("q")
    made.act("q", b"{}", token="1"), made.acts("q", 5, after=made.acts("q", 5)[-1].id)


def left_by_a_hand(made: MongoConnector, queue: str, places: list[str]) -> str:
    """Its process was killed after it had taken the tasks at these places; it is overdue. Its name."""
    node = made._nodes[0]
    begun = Begun(queue, *node._fit(queue, places))
    document = node._written(queue, begun, node.moment(queue))
    assert document is not None
    node._consumers.update_one({"_id": begun.name}, {"$set": {"until": 0}})
    return begun.name


def everything_left_behind(made: MongoConnector) -> None:
    """The verbs of the extra `effects`, with other records, joins and followers beside those that are meant."""
    made.apply("left", [Keep(f"k{n}", b"v", 600.0, listed=True) for n in range(300)], token="records")
    made.apply("other", [Keep(f"k{n}", b"v", 600.0, listed=True) for n in range(300)], token="others")
    made.apply("left", [Join("left", f"j{n}", 2, [], 600.0) for n in range(100)], token="joins")
    made.follow({("left", f"k{n}"): 1 for n in range(300)}, 60.0)
    push(made, b"1", b"2", queue="left")
    made.join("left", "me", Terms())
    made.exchange("left", "me", 1, 1, [], 2, MIB)
    then = [Keep("k1", b"new", 600.0, 1), Drop(["k2"]), Send("left", [b"c"], ids=["c"]), Send("left", [b"d"])]
    arrives = [Arrive("left", "j1", 0), Arrive("left", "j1", 1), Shut("left", "j2"), Seal("left", "j3", 2)]
    made.exchange("left", "me", 2, 3, [Done(1, 1)], 0, MIB, effects={1: [*then, *arrives]})
    made.heard(0.1), made.heard(0.1)
    push(made, *(b"%d" % n for n in range(3, 12)), queue="left")
    for n in range(9):
        made.join("left", f"c{n}", Terms())
        assert made.exchange("left", f"c{n}", 1, 1, [], 1, MIB).deliveries
        made.exchange("left", f"c{n}", 2, 2, [Done(1, 1)], 0, MIB, effects={1: [Keep(f"c{n}", b"v", None)]})
    node, silent = made._nodes[0], {"_id": {"$in": ["left c1", "left c2"]}}
    node._consumers.update_many(silent, {"$inc": {"oa": -60_000}})
    node._facts["left"].gathered = node._facts["left"].tended = 0.0
    made.exchange("left", "c3", 3, 2, [], 1, MIB)
    assert [row.get("out") for row in node._consumers.find(silent)] == [None, None]
    made.release("left", "me", [(2, 2)], {}, effects={2: [Keep("k4", b"v", None)]})
    [record] = made.records("left", ["k1"])
    assert record is not None
    assert made.apply("left", [Keep("k1", b"newer", 600.0, 2)], token="if", when=[When("k1", record.version)]).done
    assert not made.apply("left", [], token="not", when=[When("k1", record.version)]).done
    made.listed("left", 10), made.listed("left", 10, after="k9"), made.tallies("left", ["j1", "j2"])


def test_every_query_uses_an_index_and_reads_what_it_returns(mongo: mongod.Cluster, name: str) -> None:
    made = MongoConnector(mongo.at(name), timeout=30)
    made.open("lease")
    made.close()
    with mongo.primary().client() as client:
        explained = Explained(client[name])
        made = heard(mongo.at(name), explained)
        everything(made)
        made.close()
    assert explained.lookups
    for stage in explained.lookups:
        assert stage["collectionScans"] == 0 and stage["totalDocsExamined"] <= stage["nReturned"], stage
    seen = {(command, collection) for command, collection, _, _ in explained.plans}
    assert len(seen) > 25, sorted(seen)
    for command, collection, query, answer in explained.plans:
        told = f"{command} {collection} {query}"
        if collection.endswith(".queues") and "board" in query:
            continue  # of the queues' names all are wanted
        used = list(stages(answer["executionStats"]["executionStages"]))
        assert "COLLSCAN" not in {stage["stage"] for stage in used}, told
        for stage in used:
            read, gave = stage.get("docsExamined", 0), stage.get("nReturned", 0)
            # One more: the asker's own, which it leaves out.
            assert read <= max(1.2 * gave, gave + 1), f"{read} read for {gave}: {told}"


def test_a_claim_reads_only_what_it_returns_among_many_delayed_and_other_queues(
    connector: MongoConnector, mongo_set: mongod.Cluster, name: str
) -> None:
    push(connector, *(b"d" for _ in range(3000)), delay=600)
    push(connector, *(b"o" for _ in range(3000)), queue="other")
    push(connector, *(b"r" for _ in range(300)))
    with mongo_set.primary().client() as client:
        find = {
            "find": "regiment.tasks",
            "filter": {"q": "q", "p": 1, "s": {"$gte": 0}},
            "sort": {"p": 1, "s": 1},
            "limit": 100,
            "hint": "ready",
        }
        stats = client[name].command({"explain": find, "verbosity": "executionStats"})["executionStats"]
    assert stats["nReturned"] == 100
    assert stats["totalDocsExamined"] <= 120
    assert stats["totalKeysExamined"] <= 120


def test_a_missing_index_is_a_warning(connector: MongoConnector, mongo_set: mongod.Cluster, name: str) -> None:
    with mongo_set.primary().client() as client:
        client[name]["regiment.tasks"].drop_index("ready")
    assert any("regiment.tasks/ready" in warning for warning in connector.warnings())


# Refusals, in words


def test_a_newer_layout_is_refused(connector: MongoConnector, mongo_set: mongod.Cluster, name: str) -> None:
    with mongo_set.primary().client() as client:
        client[name]["regiment.meta"].update_one({"_id": "layout"}, {"$set": {"version": 99}})
    with pytest.raises(StoreError, match=r"layout 99 .* upgrade regiment-mongo"):
        MongoConnector(mongo_set.at(name)).open("push")


def test_looking_at_an_absent_store_makes_nothing(mongo_set: mongod.Cluster, name: str) -> None:
    made = MongoConnector(mongo_set.at(name))
    made.open("look")
    assert made.queues() == []
    assert made.counts("q") == (0, 0, 0, 0, None, 0, False)
    made.close()
    with mongo_set.primary().client() as client:
        assert name not in client.list_database_names()


def test_a_payload_that_no_document_can_hold_is_refused_before_anything_is_sent(
    connector: MongoConnector,
) -> None:
    with pytest.raises(PayloadTooLarge, match=r"16,777,216 bytes.*15,728,640"):
        push(connector, bytes(16 * MIB))
    assert connector.counts("q").ready == 0


def test_the_largest_payload_makes_the_whole_journey(connector: MongoConnector) -> None:
    largest = MongoConnector.capabilities.max_payload
    assert largest is not None
    payload = os.urandom(1) * largest
    push(connector, payload)
    connector.join("q", "me", Terms())
    assert connector.exchange("q", "me", 1, 1, [], 10, MIB).deliveries[0].payload == payload
    connector.release("q", "me", [], {1: b"note"}, close=True)
    connector.join("q", "you", Terms())
    assert connector.exchange("q", "you", 1, 1, [], 10, MIB).deliveries[0][2:4] == (1, b"note")
    connector.exchange("q", "you", 2, 2, [Dead(1, "t", b"{}")], 0, MIB)
    assert connector.dead("q")[0].payload == payload


def test_a_server_that_is_not_there_is_told_in_words_and_in_time() -> None:
    begin = time.monotonic()
    with pytest.raises(
        StoreUnavailable,
        match=r"mongodb://127.0.0.1:1/regiment cannot be reached.*Is MongoDB running\?",
    ):
        MongoConnector("mongodb://user:secret@127.0.0.1:1/", timeout=0.5).open("push")
    assert time.monotonic() - begin < 5


def test_no_message_shows_a_password(mongo_set: mongod.Cluster) -> None:
    host = mongo_set.members[0].port
    made = MongoConnector(f"mongodb://user:s3cret@127.0.0.1:{host}/?directConnection=true")
    with pytest.raises(StoreError, match="refuses the user name or the password") as caught:
        made.open("push")
    assert not isinstance(caught.value, StoreUnavailable)
    assert "s3cret" not in str(caught.value) + made.describe()


def test_a_connector_does_not_cross_a_fork(connector: MongoConnector) -> None:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            connector.counts("q")
            answer = "no error"
        except StoreError as error:
            answer = str(error)
        os.write(writer, answer.encode())
        os._exit(0)
    os.waitpid(pid, 0)
    answer = os.read(reader, 1000).decode()
    os.close(reader)
    os.close(writer)
    assert "after a fork, make a connector of its own" in answer


def test_a_stand_alone_server_and_a_weak_concern_are_named(mongo_alone: mongod.Cluster) -> None:
    made = MongoConnector(mongo_alone.at("warned"), write_concern="acknowledged")
    made.open("look")
    warnings = " ".join(made.warnings())
    made.close()
    assert "stand-alone server" in warnings
    assert "write concern 'acknowledged' only" in warnings


# Addresses


def test_the_database_comes_from_the_path() -> None:
    assert [a.database for a in addresses("mongodb://a/shop?replicaSet=x", None, None)] == ["shop"]
    assert [a.database for a in addresses("mongodb+srv://a.example", None, None)] == ["regiment"]
    assert [a.database for a in addresses("mongodb://a/shop", None, "mine")] == ["mine"]


def test_nodes_may_be_mappings() -> None:
    node = {
        "host": ["a", "b:7"],
        "port": 5,
        "username": "u",
        "password": "p/:@",
        "replica_set": "rs",
        "tls": True,
    }
    [address] = addresses(None, [node], None)
    assert address.url == "mongodb://u:p%2F%3A%40@a:5,b:7/?replicaSet=rs&tls=true"
    assert address.shown == "mongodb://a:5,b:7/regiment"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, "either url or nodes"),
        ({"url": "mongodb://a", "nodes": ["mongodb://b"]}, "either url or nodes"),
        ({"url": "redis://a:pw@b"}, "a node is 'redis://…'"),
        ({"url": "mongodb:///db"}, "names no host"),
        ({"nodes": [{"hots": "a"}]}, 'no field "hots". Did you mean "host"?'),
        ({"nodes": [{"port": 0}]}, "port is 0"),
        ({"url": "mongodb://a", "write_concern": "two"}, "write_concern is 'two'"),
        ({"url": "mongodb://a", "timeout": 0}, "timeout is 0"),
        ({"url": "mongodb://a", "prefix": "$x"}, "prefix is '$x'"),
    ],
)
def test_what_is_wrong_with_the_options_is_said(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        MongoConnector(**options)
    assert problem in str(caught.value)


def test_the_typed_helper_makes_the_choice() -> None:
    use = Mongo("mongodb://a", timeout=3)
    assert use.name == "mongo"
    assert MongoConnector(**use.options).describe() == "mongodb://a/regiment"


# A crowd that waits


def test_of_a_crowd_that_waits_for_one_task_the_longest_there_is_on_time_and_the_last_40_ms_later(
    connector: MongoConnector,
) -> None:
    crowd = [f"w{n:02}" for n in range(20)]
    for consumer in crowd:
        connector.join("q", consumer, Terms())
    for consumer in crowd:
        connector.exchange("q", consumer, 1, 1, [], 1, MIB)
    push(connector, b"1", delay=30.0)
    earliest, latest = [], []
    for consumer in crowd:
        before = time.monotonic()
        connector._nodes[0]._facts["q"].tended = 0
        due = connector.exchange("q", consumer, 2, 1, [], 1, MIB).next_due
        assert due is not None
        earliest.append(before + due)
        latest.append(time.monotonic() + due)
    assert latest[-1] - earliest[0] > 0.038, "the others let the first begin"
    assert max(earliest) - latest[0] < 0.042
    held = [c for c in crowd if connector.exchange("q", c, 3, 1, [], 1, MIB).deliveries]
    assert held == [], "nobody has it before it is due"


def test_a_due_task_that_another_makes_ready_between_two_looks_at_it_is_no_error(
    connector: MongoConnector, mongo_set: mongod.Cluster, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = MongoConnector(mongo_set.at(name), timeout=10)
    quick.open("lease")
    for made, consumer in ((connector, "slow"), (quick, "quick")):
        made.join("q", consumer, Terms())
        assert not made.exchange("q", consumer, 1, 1, [], 1, MIB).deliveries
    push(connector, b"due", delay=0.05)
    time.sleep(0.4)
    tasks = connector._nodes[0]._tasks
    whole = tasks.find_one
    taken: list[bytes] = []

    def slow(*args: Any, **options: Any) -> Any:
        found = whole(*args, **options)
        if not taken:
            taken.extend(d.payload for d in quick.exchange("q", "quick", 2, 1, [], 1, MIB)[1])
        return found

    monkeypatch.setattr(tasks, "find_one", slow)
    assert not connector.exchange("q", "slow", 2, 1, [], 1, MIB).deliveries
    assert taken == [b"due"]
    quick.close()


def test_an_answer_that_took_long_says_no_less_of_the_time_than_a_quick_one_before_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = 100.0
    monkeypatch.setattr("regiment_mongo.clock.time.monotonic", lambda: here)
    clock = Clock()
    clock.saw(5_000, 99.998)
    assert clock.vague == pytest.approx(3)
    assert clock.when(6_000) == pytest.approx(101.0)
    here = 110.5
    clock.saw(15_000, 109.9)
    assert clock.when(16_000) == pytest.approx(111.0), "and not half a second later"
    clock.saw(3_600_000, 110.4)
    assert clock.now() == pytest.approx(3_600_000), "the server's clock was set"


# Faults between two writes


class Cut(Exception):
    """The process dies here."""


def test_a_worker_killed_between_claim_and_removal_costs_nothing(
    mongo: mongod.Cluster, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = MongoConnector(mongo.at(name), timeout=10)
    made.open("lease")
    push(made, *(b"%d" % n for n in range(10)))
    made.join("q", "dies", Terms())
    made.join("q", "lives", Terms())
    node = made._nodes[0]
    with monkeypatch.context() as patch:
        patch.setattr(node, "_confirm", lambda *_: (_ for _ in ()).throw(Cut()))
        with pytest.raises(Cut):
            made.exchange("q", "dies", 1, 1, [], 5, MIB)
    # Half a claim: five tasks stand in the document and among the waiting. Nobody else gets them.
    taken = made.exchange("q", "lives", 1, 1, [], 10, MIB)
    assert [d.payload for d in taken.deliveries] == [b"5", b"6", b"7", b"8", b"9"]
    made.release("q", "dies", [], {}, close=True)
    taken = made.exchange("q", "lives", 2, 6, [Done(1, 5)], 10, MIB)
    assert [d[1:3] for d in taken.deliveries] == [(b"%d" % n, 0) for n in range(5)]
    made.exchange("q", "lives", 3, 11, [Done(6, 10)], 10, MIB)
    assert made.counts("q")[:4] == (0, 0, 0, 0)
    made.close()


@pytest.mark.parametrize("step", ["copies", "removal"])
def test_a_giving_back_cut_off_at_any_step_is_repaired_by_its_repeat(
    mongo: mongod.Cluster,
    step: str,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = MongoConnector(mongo.at(name), timeout=10)
    made.open("lease")
    push(made, b"a", b"b", b"c")
    made.join("q", "dies", Terms(poison_delays=(0,)))
    made.exchange("q", "dies", 1, 1, [], 3, MIB)
    node = made._nodes[0]
    with monkeypatch.context() as patch:
        verb = "store" if step == "copies" else "_forget"
        whole = getattr(node, verb)

        def cut(*args: Any, **options: Any) -> None:
            whole(*args, **options)
            raise Cut

        patch.setattr(node, verb, cut)
        with pytest.raises(Cut):
            made.release("q", "dies", [], {1: b"why"}, close=True)
    made.release("q", "dies", [], {1: b"why"}, close=True)
    made.join("q", "lives", Terms())
    taken = made.exchange("q", "lives", 1, 1, [], 10, MIB)
    assert [d[1:4] for d in taken.deliveries] == [
        (b"a", 1, b"why"),
        (b"b", 0, None),
        (b"c", 0, None),
    ]
    made.close()


@pytest.mark.parametrize("way", ["done", "one by one", "given back", "half a claim", "purged"])
def test_the_token_of_a_push_of_one_outlives_its_task(
    mongo: mongod.Cluster,
    way: str,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = MongoConnector(mongo.at(name), timeout=10)
    made.open("lease")

    def push_all() -> None:
        for n in range(6):
            delay = 600 if n == 5 else 0
            made.push("q", [b"%d" % n], priority=1, token=f"{n}", delay=delay)

    push_all()
    made.join("q", "me", Terms())
    size = 1 if way == "one by one" else 5
    if way == "purged":
        assert made.purge("q") == 6
    elif way == "half a claim":
        node = made._nodes[0]
        with monkeypatch.context() as patch:
            patch.setattr(node, "_confirm", lambda *_: (_ for _ in ()).throw(Cut()))
            with pytest.raises(Cut):
                made.exchange("q", "me", 1, 1, [], 5, MIB)
        made.release("q", "me", [], {}, close=True)
    else:
        done: list[Any] = []
        for turn in range(1, 5 // size + 1):
            taken = made.exchange("q", "me", turn, turn, done, size, MIB)
            assert len(taken.deliveries) == size
            done = [Back(1, 5) if way == "given back" else Done(turn, turn + size - 1)]
        made.exchange("q", "me", turn + 1, 6, done, 0, MIB)
    waiting = 5 if way in ("given back", "half a claim") else 0
    for _ in range(2):
        assert made.counts("q")[:3] == (waiting, 0 if way == "purged" else 1, 0)
        push_all()
    if waiting:
        assert [task.payload for task in made.peek("q", "ready")] == [b"%d" % n for n in range(5)]
    with MongoClient[dict[str, Any]](mongo.url) as client:
        left = list(client[name]["regiment.tasks"].find({"ex": {"$exists": True}}))
    assert [sorted(document) for document in left] == [["_id", "ex", "tk"]] * len(left)
    assert len(left) == (6 if way == "purged" else 5)
    made.close()


def test_pushes_of_one_and_of_many_by_two_producers_keep_their_order(mongo: mongod.Cluster, name: str) -> None:
    producers = [MongoConnector(mongo.at(name), timeout=10) for _ in range(2)]
    for made in producers:
        made.open("lease")
    pushed: list[bytes] = []
    for n in range(40):
        payloads = [b"%d-%d" % (n, i) for i in range((1, 1, 700, 1)[n % 4])]
        push(producers[n // 2 % 2], *payloads)
        pushed += payloads
    producers[0].join("q", "me", Terms())
    found: list[bytes] = []
    done: list[Done] = []
    for turn in range(1, 12):
        taken = producers[0].exchange("q", "me", turn, len(found) + 1, done, 1000, MIB)
        done = [Done(len(found) + 1, len(found) + len(taken.deliveries))]
        found += [delivery.payload for delivery in taken.deliveries]
        if len(found) == len(pushed):
            break
    assert found == pushed
    for made in producers:
        made.close()


def test_a_push_that_two_primaries_answered_is_made_sure_at_the_second(
    connector: MongoConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hint's answer speaks for the task only if both were written in the same term: else the task may be lost."""
    node = connector._nodes[0]
    whole = node.tell
    asked: list[str] = []

    def elected(queue: str, concern: Any) -> Any:
        answer = whole(queue, concern)
        asked.append(queue)
        if len(asked) == 1:
            node._tasks.delete_many({})
            answer["opTime"]["t"] += 1
        return answer

    monkeypatch.setattr(node, "tell", elected)
    push(connector, b"x")
    assert len(asked) == 2
    assert [task.payload for task in connector.peek("q", "ready")] == [b"x"]


def test_a_store_of_an_older_layout_gets_what_it_lacks(mongo_set: mongod.Cluster, name: str) -> None:
    with mongo_set.primary().client() as client:
        client[name]["regiment.meta"].insert_one({"_id": "layout", "version": 1})
        made = MongoConnector(mongo_set.at(name), timeout=10)
        made.open("push")
        assert not any("lacks" in warning for warning in made.warnings())
        made.close()
        assert client[name]["regiment.meta"].find_one({}) == {"_id": "layout", "version": LAYOUT}


@pytest.mark.parametrize(
    "then",
    ["nothing", "its answer is lost", "its guard is changed", "the answer to its removal is lost"],
)
@pytest.mark.parametrize("limit", [1, 3])
@pytest.mark.parametrize("alone", [True, False])
def test_a_claim_from_an_old_reading_is_struck_out_and_not_delivered(
    alone: bool, limit: int, then: str, connector: MongoConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where each task was pushed alone: what is left of such a one carries its token and is no task. And whatever
    happens between the claim and its comparison with what is among the waiting tasks still.
    """
    tasks = [b"old", b"old too", b"new"]
    for payloads in [[task] for task in tasks] if alone else [tasks]:
        push(connector, *payloads)
    for consumer in ("slow", "quick"):
        connector.join("q", consumer, Terms())
    node = connector._nodes[0]
    whole, write, forget = node._ready, node._write, node._forget
    first: list[bool] = []

    def interrupted(row: Any, *args: Any) -> None:
        write(row, *args)
        if row.id == "q slow" and len(first) == 1:
            first.append(True)
            if then == "its answer is lost":
                raise AutoReconnect("connection closed")
            if then == "its guard is changed":
                node.refresh("q")

    def removed(*args: Any) -> int:
        count = forget(*args)
        if then == "the answer to its removal is lost" and len(first) == 2:
            first.append(True)
            raise AutoReconnect("connection closed")
        return count

    def slow(*args: Any, **options: Any) -> Any:
        found = whole(*args, **options)
        if not first:
            first.append(True)
            # While "slow" sits between reading and claiming, "quick" takes two, finishes and forgets them.
            connector.exchange("q", "quick", 1, 1, [], 2, MIB)
            connector.exchange("q", "quick", 2, 3, [Done(1, 2)], 0, MIB)
        return found

    monkeypatch.setattr(node, "_ready", slow)
    monkeypatch.setattr(node, "_write", interrupted)
    monkeypatch.setattr(node, "_forget", removed)
    taken = None
    while taken is None:
        with contextlib.suppress(StoreUnavailable):
            taken = connector.exchange("q", "slow", 1, 1, [], limit, MIB)
    if not taken.deliveries:  # the answer of the turn is that nothing of it was left
        taken = connector.exchange("q", "slow", 2, 1, [], limit, MIB)
    assert [(d.receipt, d.payload) for d in taken.deliveries] == [(1, b"new")]
    assert connector.counts("q")[:3] == (0, 0, 1)


def test_a_set_that_keeps_no_history_is_asked_for_it_once(mongo_set: mongod.Cluster, name: str) -> None:
    """What two consumers wanted may then be run by both, once; from then on each claim is compared before it removes."""
    quick, slow = (MongoConnector(mongo_set.at(name), timeout=10) for _ in range(2))
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(mongo_set.primary().client())
        stack.callback(client.admin.command, "setParameter", 1, minSnapshotHistoryWindowInSeconds=300)
        client.admin.command("setParameter", 1, minSnapshotHistoryWindowInSeconds=0)
        for made, consumer in ((quick, "quick"), (slow, "slow")):
            made.open("lease")
            stack.callback(made.close)
            made.join("q", consumer, Terms())
        node = slow._nodes[0]
        whole, ran = node._ready, []
        for number in range(3):
            push(quick, b"1", b"2", b"3")

            def late(*args: Any, number: int = number, **options: Any) -> Any:
                found = whole(*args, **options)
                if found and len(ran) == number:
                    turn, base = 2 * number + 1, 2 * number + 1
                    ran.append(quick.exchange("q", "quick", turn, base, [], 2, MIB).deliveries)
                    quick.exchange("q", "quick", turn + 1, base + 2, [Done(base, base + 1)], 0, MIB)
                return found

            node._ready = late  # type: ignore[method-assign]
            base = 10 * number + 1
            taken = slow.exchange("q", "slow", 2 * number + 1, base, [], 3, MIB)
            wanted = [b"1", b"2", b"3"] if number == 0 else [b"3"]
            assert [d.payload for d in taken.deliveries] == wanted
            slow.exchange("q", "slow", 2 * number + 2, base + 3, [Done(base, base + len(wanted) - 1)], 0, MIB)
        assert quick.counts("q")[:3] == (0, 0, 0)


class Asked(monitoring.CommandListener):
    """The names of all commands that were sent."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        self.names.append(event.command_name)

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None: ...

    def failed(self, event: monitoring.CommandFailedEvent) -> None: ...


class One:
    """A consumer that takes one task at a time and is done with it at once."""

    def __init__(self, connector: MongoConnector, name: str) -> None:
        self.connector, self.name, self.turn = connector, name, 0
        self.done: list[Any] = []
        connector.join("q", name, Terms())

    def take(self) -> bytes | None:
        self.turn += 1
        taken = self.connector.exchange("q", self.name, self.turn, self.turn, self.done, 1, MIB)
        self.done = [Done(d.receipt, d.receipt) for d in taken.deliveries]
        return next((d.payload for d in taken.deliveries), None)

    def drain(self) -> list[bytes]:
        return list(iter(self.take, None))


def numbers(first: int, last: int) -> list[bytes]:
    return [b"%03d" % n for n in range(first, last + 1)]


@pytest.fixture
def other(mongo_set: mongod.Cluster, name: str, connector: MongoConnector) -> Iterator[MongoConnector]:
    """Another process, as far as the store can tell."""
    made = MongoConnector(mongo_set.at(name), timeout=10)
    made.open("lease")
    yield made
    made.close()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read ahead stays good, however slow the machine is."""
    monkeypatch.setattr(claiming, "FRESH", 60.0)
    monkeypatch.setattr(claiming, "FROM_START", 60.0)


def test_a_lone_consumer_of_single_tasks_asks_little_more_than_twice_for_each(
    mongo_set: mongod.Cluster, name: str, patient: None
) -> None:
    asked = Asked()
    made = heard(mongo_set.at(name), asked)
    me = One(made, "me")
    push(made, *numbers(1, 10))
    assert [me.take() for _ in range(10)] == numbers(1, 10)
    made.join("q", "many", Terms())
    push(made, *numbers(500, 540))
    assert len(made.exchange("q", "many", 1, 1, [], 100, MIB).deliveries) == 41
    push(made, *numbers(11, 300))
    assert [me.take() for _ in range(30)] == numbers(11, 40)
    asked.names.clear()
    assert [me.take() for _ in range(200)] == numbers(41, 240)
    assert asked.names.count("update") >= 200
    assert asked.names.count("find") < 50, "tasks are read one by one"
    made.close()


def test_what_was_read_ahead_and_finished_by_another_meanwhile_is_not_run_again(
    connector: MongoConnector, other: MongoConnector, patient: None
) -> None:
    push(connector, *numbers(1, 100))
    me, you = One(connector, "me"), One(other, "you")
    ran = [me.take() for _ in range(20)] + [you.take() for _ in range(5)]
    ran += [me.take(), you.take(), me.take(), *me.drain(), *you.drain()]
    assert sorted(filter(None, ran)) == numbers(1, 100)
    assert connector.counts("q")[:3] == (0, 0, 0)


def _more_urgent(store: MongoConnector) -> list[bytes]:
    push(store, b"urgent", priority=0)
    return [b"urgent"]


def _given_back(store: MongoConnector) -> list[bytes]:
    store.release("q", "early", [], {}, close=True)
    return [b"000"]


def _paused(store: MongoConnector) -> list[bytes]:
    store.post("q", paused=True)
    return []


def _purged(store: MongoConnector) -> list[bytes]:
    store.purge("q")
    return []


@pytest.mark.parametrize("change", [_more_urgent, _given_back, _paused, _purged])
def test_what_changes_a_queue_is_seen_by_who_has_read_ahead(
    change: Callable[[MongoConnector], list[bytes]],
    connector: MongoConnector,
    other: MongoConnector,
    patient: None,
) -> None:
    push(connector, b"000")
    assert One(other, "early").take() == b"000"
    push(connector, *numbers(1, 300))
    me = One(connector, "me")
    for round in range(10):
        assert me.take() == b"%03d" % (round + 1)
    assert connector._nodes[0]._facts["q"].ahead, "nothing was read ahead"
    expected = change(other)
    assert [me.take() for _ in expected or [None]] == (expected or [None])


@pytest.mark.parametrize("way", ["back", "again", "due", "claimed"])
def test_a_task_that_changes_its_place_while_it_is_counted_is_counted(
    mongo: mongod.Cluster,
    way: str,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """ "Nothing is here" ends a burst. The change is made after the first, the second, … of the questions."""
    made, look = MongoConnector(mongo.at(name), timeout=10), MongoConnector(mongo.at(name))
    made.open("lease")
    look.open("look")
    node = look._nodes[0]
    stores = [(node._consumers, "aggregate"), (node._tasks, "aggregate")]
    turn = {"me": 0}

    def exchange(settlements: Any, limit: int) -> int:
        turn["me"] += 1
        return len(made.exchange("q", "me", turn["me"], turn["me"], settlements, limit, MIB)[1])

    def change() -> None:
        if way in ("back", "again"):
            receipt = turn["me"]
            exchange([Back(receipt, receipt) if way == "back" else Again(receipt, b"x", 600)], 0)
        else:
            exchange([], 1 if way == "claimed" else 0)

    made.join("q", "me", Terms())
    for moment in range(1, 5):
        push(made, b"x", **({"delay": 0.3} if way == "due" else {}))
        if way in ("back", "again"):
            assert exchange([], 1) == 1
        elif way == "due":
            time.sleep(0.35)
        asked = 0
        with monkeypatch.context() as patch:
            for store, verb in stores:
                whole = getattr(store, verb)

                def slow(*args: Any, whole: Any = whole, **options: Any) -> Any:
                    nonlocal asked
                    found = whole(*args, **options)
                    asked += 1
                    if asked == moment:
                        change()
                    return found

                patch.setattr(store, verb, slow)
            counts = look.counts("q")
        assert asked >= moment or asked == 3
        assert counts.ready + counts.delayed + counts.leased >= 1, f"after question {moment}"
        made.purge("q")
        made.release("q", "me", [(1, 100)], {})
    made.close()
    look.close()


def test_many_consumers_at_once_run_each_task_once(mongo_set: mongod.Cluster, name: str) -> None:
    first = MongoConnector(mongo_set.at(name), timeout=20)
    first.open("lease")
    push(first, *(b"%d" % n for n in range(600)))
    ran: list[bytes] = []

    def work(number: int) -> None:
        mine = MongoConnector(mongo_set.at(name), timeout=20)
        mine.open("lease")
        mine.join("q", f"c{number}", Terms())
        done: list[Done] = []
        turn, base, limit = 0, 1, 1 if number % 2 else 7
        while True:
            turn += 1
            taken = mine.exchange("q", f"c{number}", turn, base, done, limit, MIB)
            if not taken.deliveries and first.counts("q").ready == 0:
                break
            ran.extend(d.payload for d in taken.deliveries)
            done = [Done(base, base + len(taken.deliveries) - 1)] if taken.deliveries else []
            base += len(taken.deliveries)
        mine.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(int, ran)) == list(range(600))
    assert first.counts("q")[:3] == (0, 0, 0)
    first.close()


def test_a_step_down_reaches_the_caller_as_nothing_worse_than_try_again(mongo_set: mongod.Cluster, name: str) -> None:
    made = MongoConnector(mongo_set.at(name), timeout=15)
    made.open("push")
    push(made, b"before")
    with mongo_set.primary().client() as client:
        client.admin.command({"replSetStepDown": 2, "force": True})
    for token in ("x", "y"):
        for _ in range(20):
            try:
                made.push("q", [b"after"], priority=1, token=token)
                break
            except StoreUnavailable:
                time.sleep(0.2)
    assert made.counts("q").ready == 3
    made.close()


def test_a_fenced_consumer_is_told_so_in_words(connector: MongoConnector) -> None:
    connector.join("q", "me", Terms())
    connector.release("q", "me", [], {}, close=True)
    with pytest.raises(Fenced, match="consumer me of 'q' was closed or taken for dead; join under a new name"):
        connector.join("q", "me", Terms())
    with pytest.raises(Fenced, match="consumer nobody of 'q' is unknown here; join first"):
        connector.exchange("q", "nobody", 1, 1, [], 1, MIB)


def test_a_copy_that_is_there_already_is_not_made_again_and_stops_nothing(
    connector: MongoConnector, mongo_set: mongod.Cluster, name: str
) -> None:
    push(connector, b"a", b"b")
    connector.join("q", "dies", Terms())
    connector.exchange("q", "dies", 1, 1, [], 2, MIB)
    held = connector._nodes[0].row("q", "dies")
    assert held is not None
    with mongo_set.primary().client() as client:
        copy = waiting("q", held.held[1])
        client[name]["regiment.tasks"].insert_one(copy)
    connector.release("q", "dies", [], {}, close=True)
    assert [task.payload for task in connector.peek("q", "ready")] == [b"a", b"b"]


@pytest.mark.parametrize("step", ["ids", "tasks"])
def test_a_push_cut_off_on_a_stand_alone_server_is_completed_by_its_repeat(
    step: str, mongo_alone: mongod.Cluster, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = MongoConnector(mongo_alone.at(name), timeout=10)
    made.open("push")
    made.push("q", [b"0"], priority=1, token="first", ids=["x"])
    node = made._nodes[0]
    with monkeypatch.context() as patch:
        store, verb = (node, "_reserve") if step == "ids" else (node._tokens, "update_one")
        whole = getattr(store, verb)

        def cut(*args: Any, **options: Any) -> None:
            if step == "ids":
                whole(*args, **options)
            raise Cut

        patch.setattr(store, verb, cut)
        with pytest.raises(Cut):
            made.push("q", [b"1", b"2", b"3"], priority=1, token="t", ids=["a", "x", "b"])
    for _ in range(2):
        assert made.push("q", [b"1", b"2", b"3"], priority=1, token="t", ids=["a", "x", "b"]) == [1]
    assert [task.payload for task in made.peek("q", "ready")] == [b"0", b"1", b"3"]
    made.close()


def test_closing_ends_the_thread_that_waits_for_hints(connector: MongoConnector) -> None:
    """It sits in a read that the server holds for ten seconds."""
    connector.join("q", "me", Terms())
    assert not connector.exchange("q", "me", 1, 1, [], 1, MIB).deliveries
    waiting = [t for t in threading.enumerate() if t.name == "regiment-mongo-wake"]
    assert waiting
    connector.close()
    assert not any(thread.is_alive() for thread in waiting)


def test_processes_that_open_a_new_store_at_once_all_succeed(mongo_set: mongod.Cluster, name: str) -> None:
    failures: list[Exception] = []

    def start() -> None:
        made = MongoConnector(mongo_set.at(name), timeout=20)
        try:
            made.open("push")
            push(made, b"x")
        except Exception as error:
            failures.append(error)
        made.close()

    threads = [threading.Thread(target=start) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_bulk_push_larger_than_the_servers_cache_takes_is_sent_in_parts(mongo_set: mongod.Cluster, name: str) -> None:
    """60 MB in one transaction are refused by a server with the least cache (256 MB)."""
    queue = Queue("bulk", connector=mongo_set.at(name), push_timeout=20.0)
    take, load = queue.options(name="take"), "x" * 1_000_000
    assert take.push_many({"n": n, "load": load} for n in range(60)) == 60
    connector = MongoConnector(mongo_set.at(name), timeout=10)
    connector.open("look")
    assert connector.counts("bulk").ready == 60
    connector.close()
    queue.broker.close()
