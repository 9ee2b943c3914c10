"""What a task leaves behind, on MongoDB: what is sent for it, and processes and servers killed between any two requests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo import monitoring

sys.path.insert(0, str(Path(__file__).parent.parent))
from harness import mongod
from harness.scale import FULL
from regiment.contracts import Again, Arrive, Dead, Done, Effect, Join, Keep, Send, Terms
from regiment.errors import Fenced, StoreUnavailable
from regiment_mongo.connector import MongoConnector
from regiment_mongo.effects import lines as lines_of

MIB = 1 << 20

IDLE = 1.05
"""Seconds after which the driver looks whether a connection is still there and quietly makes another."""


@pytest.fixture(scope="module", params=[None, "effects"], ids=["stand-alone", "set"])
def server(request: pytest.FixtureRequest) -> Iterator[mongod.Cluster]:
    with mongod.cluster(1, request.param) as made:
        yield made


@pytest.fixture
def url(server: mongod.Cluster) -> str:
    mongod.empty(server.url, "effects")
    return server.at("effects")


@pytest.fixture
def connector(url: str) -> Iterator[MongoConnector]:
    made = opened(url)
    yield made
    made.close()


def opened(url: str, role: Any = "lease") -> MongoConnector:
    made = MongoConnector(url, timeout=20)
    made.open(role)
    return made


def push(connector: MongoConnector, *payloads: bytes) -> None:
    for payload in payloads:
        connector.push("q", [payload], priority=1, token=os.urandom(8).hex())


def ready(connector: MongoConnector, queue: str) -> list[bytes]:
    return sorted(seen.payload for seen in connector.peek(queue, "ready", 10_000))


def traces(name: str, number: int) -> list[Effect]:
    """A record, a child beside another queue, an arrival at a join of five."""
    return [
        Keep(f"{name}-{number}", b"kept", 600.0, listed=True),
        Send("child", [b"%s-%d" % (name.encode(), number)]),
        Arrive("joins", name, number),
    ]


def opening(name: str) -> Join:
    return Join("joins", name, 5, [Send("callback", [name.encode()]), Keep(f"{name}!", b"all", 600.0)], 600.0)


class Heard(monitoring.CommandListener):
    """The commands that a connector sends, without what the driver adds."""

    def __init__(self) -> None:
        self.commands: list[dict[str, Any]] = []

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        mine = ("lsid", "txnNumber", "$clusterTime", "$db", "$readPreference", "maxTimeMS")
        self.commands.append({k: v for k, v in event.command.items() if k not in mine})

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None: ...

    def failed(self, event: monitoring.CommandFailedEvent) -> None: ...

    def to(self, collection: str) -> list[dict[str, Any]]:
        return [c for c in self.commands if c.get(next(iter(c))) == f"regiment.{collection}"]

    def names(self) -> list[str]:
        """Of those that are waited for and not the listener's."""
        found = [(next(iter(c)), str(c[next(iter(c))]).removeprefix("regiment.")) for c in self.commands]
        return [
            f"{name} {what}" for name, what in found if what != "wakes" and name not in ("getMore", "listCollections")
        ]


def heard(url: str) -> tuple[MongoConnector, Heard]:
    listener = Heard()
    monitoring.register(listener)
    try:
        return opened(url), listener
    finally:
        monitoring._LISTENERS.command_listeners.remove(listener)


def test_large_records_of_many_tasks_that_end_together_are_all_kept(connector: MongoConnector) -> None:
    push(connector, *[b"task"] * 8)
    connector.join("q", "c", Terms(30.0, (0.0,)))
    taken = connector.exchange("q", "c", 1, 1, [], 8, MIB)
    receipts = [delivery.receipt for delivery in taken.deliveries]
    effects: dict[int, list[Effect]] = {n: [Keep(str(n), b"%d" % n * (3 * MIB), 60.0)] for n in receipts}
    connector.exchange("q", "c", 2, 9, [Done(receipts[0], receipts[-1])], 0, 0, effects=effects)
    found = connector.records("q", list(map(str, receipts)))
    assert [record and record.value[:1] for record in found] == [b"%d" % n for n in receipts]
    again: dict[int, list[Effect]] = {n: [Keep(str(n), b"x" * (3 * MIB), 60.0)] for n in receipts}
    connector.apply("q", [one for some in again.values() for one in some], token="again")
    assert {record and record.value[:1] for record in connector.records("q", list(map(str, receipts)))} == {b"x"}


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a slow machine too, an exchange only looks after its queue where a test says so."""
    monkeypatch.setattr("regiment_mongo.lease.TEND_EVERY", 1e9)


@pytest.mark.usefixtures("unhurried")
def test_an_exchange_without_effects_sends_what_it_always_sent(url: str) -> None:
    """Command by command, and of its one write all fields; and where it looks after the queue as well."""
    connector, listener = heard(url)
    push(connector, *(b"%d" % n for n in range(30)))
    connector.join("q", "me", Terms())
    connector.exchange("q", "me", 1, 1, [], 10, MIB)
    connector.exchange("q", "me", 2, 11, [Done(1, 10)], 10, MIB)
    listener.commands.clear()
    connector.exchange("q", "me", 3, 21, [Done(11, 20)], 10, MIB)
    compare = [] if connector._nodes[0]._is_set else ["count tasks"]
    assert listener.names() == ["find tasks", "update consumers", *compare, "update tasks"]
    [write] = listener.to("consumers")
    [change] = write["updates"]
    assert set(write) == {"update", "updates", "writeConcern"}
    assert list(change) == ["q", "u"] and list(change["q"]) == ["_id", "v", "st"]
    assert {kind: list(what) for kind, what in change["u"].items()} == {
        "$set": ["turn", "base", "lost", "h", "held"],
        "$inc": ["v"],
    }
    listener.commands.clear()
    connector._nodes[0]._facts["q"].next = 0.0  # something is due: it looks
    push(connector, b"one more")
    listener.commands.clear()
    connector.exchange("q", "me", 4, 31, [Done(21, 30)], 10, MIB)
    looks = ["findAndModify queues", "find consumers", "find tasks"]
    assert listener.names() == [*looks, "find tasks", "update consumers", "update tasks"]
    for store in ("records", "joins", "outbox", "follows"):
        assert listener.to(store) == []
    connector.close()


@pytest.mark.usefixtures("unhurried")
def test_a_batch_of_a_hundred_kept_results_takes_one_request_more(url: str) -> None:
    """The first that a queue ever sees takes another one, which notes that in the queue's row."""
    connector, listener = heard(url)
    connector.push("q", [b"%d" % n for n in range(400)], priority=1, token="t")
    connector.join("q", "me", Terms())
    connector.exchange("q", "me", 1, 1, [], 100, MIB)
    counts = []
    for turn, kept in ((2, False), (3, True), (4, True)):
        first = 100 * turn - 199
        listener.commands.clear()
        effects = {r: [Keep(f"k{r}", b"v" * 100, 600.0)] for r in range(first, first + 100)} if kept else {}
        taken = connector.exchange("q", "me", turn, first + 100, [Done(first, first + 99)], 100, MIB, effects=effects)
        assert not taken.lost and len(taken.deliveries) == (100 if turn < 5 else 0)
        counts.append(len(listener.names()))
    assert counts[1] == counts[0] + 2, listener.names()
    assert counts[2] == counts[0] + 1, listener.names()
    assert all(connector.records("q", [f"k{r}" for r in range(101, 301)]))
    connector.close()


def numbers(is_set: bool, most: int) -> range:
    """Before which request to kill: each, up to the last one there is. At the size of a commit every other one, with the set from the
    first and with the stand-alone server from the second: together they are all.
    """
    return range(1, most) if FULL else range(1 if is_set else 2, most, 2)


# Processes that are killed

DIES = """
import os, signal, sys
from pymongo import monitoring
from regiment_mongo.connector import MongoConnector
sys.path.insert(0, sys.argv[1])
from test_mongo_effects import STEPS

class Killer(monitoring.CommandListener):
    left = None
    def succeeded(self, event): pass
    def failed(self, event): pass
    def started(self, event):
        if self.left is None or event.command_name in ("getMore", "listCollections", "hello"): return
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

killer = Killer()
monitoring.register(killer)
connector = MongoConnector(sys.argv[2], timeout=20)
connector.open("lease")
STEPS[sys.argv[3]](connector, sys.argv[5], killer, int(sys.argv[4]))
"""


def claim_then_settle(connector: MongoConnector, name: str, killer: Any, left: int) -> None:
    taken = connector.exchange("q", name, 1, 1, [], 5, MIB)
    assert len(taken.deliveries) == 5
    killer.left = left
    effects = {r: traces(name, int(d.payload.split(b"-")[1])) for r, d in enumerate(taken.deliveries, 1)}
    connector.exchange("q", name, 2, 6, [Done(1, 5)], 5, MIB, effects=effects)


def claim_then_settle_several_ways(connector: MongoConnector, name: str, killer: Any, left: int) -> None:
    taken = connector.exchange("q", name, 1, 1, [], 5, MIB)
    assert len(taken.deliveries) == 5
    killer.left = left
    effects = {r: traces(name, int(d.payload.split(b"-")[1])) for r, d in enumerate(taken.deliveries, 1)}
    ways = [Done(1, 3), Dead(4, "id", b"{}"), Again(5, b"again", 600.0)]
    connector.exchange("q", name, 2, 6, ways, 0, MIB, effects=effects)
    connector.exchange("q", name, 3, 6, [], 0, MIB)


def claim_and_be_released(connector: MongoConnector, name: str, killer: Any, left: int) -> None:
    taken = connector.exchange("q", name, 1, 1, [], 5, MIB)
    assert len(taken.deliveries) == 5
    killer.left = left
    effects = {r: traces(name, int(d.payload.split(b"-")[1])) for r, d in enumerate(taken.deliveries, 1)}
    connector.release("q", name, [(1, 5)], {}, close=True, effects=effects)


STEPS = {one.__name__: one for one in (claim_then_settle, claim_then_settle_several_ways, claim_and_be_released)}


@pytest.mark.parametrize(
    "step",
    [
        "claim_then_settle",
        pytest.param("claim_then_settle_several_ways", marks=pytest.mark.long),
        pytest.param("claim_and_be_released", marks=pytest.mark.long),
    ],
)
def test_a_process_killed_at_any_request_leaves_each_task_unsettled_or_with_all_it_leaves_behind(
    connector: MongoConnector, url: str, step: str
) -> None:
    """Afterwards its keeper releases what it held, or others take it back."""
    if step == "claim_then_settle_several_ways" and not connector._nodes[0]._is_set:
        pytest.skip(
            "a retry that is cut off half-way may come without its effects on a stand-alone server (docs/mongo.md)"
        )
    for round, at in enumerate(numbers(connector._nodes[0]._is_set, 60)):
        name = f"me{at}"
        connector.apply("joins", [opening(name)], token=name)
        push(connector, *(b"%s-%d" % (name.encode(), n) for n in range(5)))
        released = round % 2 == 0
        connector.join("q", name, Terms(lease=30.0 if released else 2.0))
        killed = subprocess.run(
            [sys.executable, "-c", DIES, str(Path(__file__).parent), url, step, str(at), name],
            check=False,
            timeout=60,
            capture_output=True,
        )
        assert killed.returncode in (0, -signal.SIGKILL), killed.stderr.decode()[-2000:]
        if released:
            connector.release("q", name, [], {}, close=True)
        else:
            taken_back(connector, name)
        check(connector, name)
        if killed.returncode == 0:
            break
    assert killed.returncode == 0 and at > 4


def taken_back(connector: MongoConnector, name: str) -> None:
    """Until another consumer's exchanges have found that it is overdue, and all it left."""
    connector.join("q", f"{name}-other", Terms(lease=2.0))
    end = time.monotonic() + 30
    turn = 0
    consumers = connector._nodes[0]._consumers
    while consumers.count_documents({"_id": f"q {name}", "h": {"$gt": 0}}):
        assert time.monotonic() < end
        turn += 1
        connector.exchange("q", f"{name}-other", turn, 1, [], 0, MIB)
        time.sleep(0.2)
    connector.release("q", f"{name}-other", [], {}, close=True)


def check(connector: MongoConnector, name: str) -> None:
    """Each of five tasks is unsettled and left nothing, or settled and has left everything once; the join accordingly."""
    waiting = {payload for payload in ready(connector, "q") if payload.startswith(name.encode() + b"-")}
    children = Counter(p for p in ready(connector, "child") if p.startswith(name.encode() + b"-"))
    kept = connector.records("q", [f"{name}-{n}" for n in range(5)])
    [tally] = connector.tallies("joins", [name])
    assert tally is not None
    for n in range(5):
        payload = b"%s-%d" % (name.encode(), n)
        settled = payload not in waiting
        assert children[payload] == int(settled), f"{payload!r} settled: {settled}, children: {children}"
        assert (kept[n] is not None) is settled
        assert (n not in tally.missing) is settled
    assert len(waiting) in (0, 5)
    assert ready(connector, "callback").count(name.encode()) == (0 if waiting else 1)
    [callback] = connector.records("joins", [f"{name}!"])
    assert (callback is None) is bool(waiting)
    connector.purge("q")


def left_by_one_that_died(connector: MongoConnector, url: str, name: str) -> None:
    """It has settled, and not sent on what it left."""
    push(connector, b"task")
    connector.join("q", name, Terms(lease=600.0))
    found = connector.exchange("q", name, 1, 1, [], 1, MIB).deliveries
    assert len(found) == 1
    if (pid := os.fork()) == 0:
        own = opened(url)
        own._nodes[0].forward = lambda row, stands=False: os._exit(9) if row.out else None  # type: ignore[method-assign]
        own.exchange("q", name, 2, 2, [Done(1, 1)], 0, MIB, effects={1: [Send("child", [name.encode()])]})
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
    there = connector._nodes[0]._consumers.find_one({"_id": f"q {name}"})
    assert there is not None and len(there["out"]) == 1 and ready(connector, "child") == []


TOUCHES: dict[str, Callable[[MongoConnector, int], object]] = {
    "exchange": lambda connector, turn: connector.exchange("q", "other", turn, 1, [], 0, MIB),
    "release": lambda connector, turn: connector.release("q", "nobody", [], {}),
    "renew": lambda connector, turn: connector.renew([("q", "other")], 600.0),
}


def until_sent_on(connector: MongoConnector, touch: str, name: str) -> None:
    end, turn = time.monotonic() + 20, 0
    while ready(connector, "child") != [name.encode()]:
        assert time.monotonic() < end, "it was left where it was"
        turn += 1
        TOUCHES[touch](connector, turn)
        time.sleep(0.1)


@pytest.mark.parametrize("touch", list(TOUCHES))
def test_whoever_touches_the_queue_sends_on_what_another_consumer_left(
    connector: MongoConnector, url: str, touch: str
) -> None:
    """E8: long before it is overdue, and though nobody renews or releases it itself."""
    connector.join("q", "other", Terms())
    left_by_one_that_died(connector, url, "dead")
    until_sent_on(connector, touch, "dead")
    found = connector._nodes[0]._consumers.find_one({"_id": "q dead"})
    assert found is not None and found["st"] == 0 and not {"out", "ov", "oa"} & set(found)


@pytest.mark.parametrize("touch", list(TOUCHES))
@pytest.mark.parametrize("state", [1, 2], ids=["taken back", "closed"])
def test_what_a_release_that_knows_no_effects_did_not_send_on_is_sent_on(
    connector: MongoConnector, url: str, touch: str, state: int
) -> None:
    """Such a release takes back or closes a consumer and leaves its outbox alone; that stands in the tombstone."""
    connector.join("q", "other", Terms())
    left_by_one_that_died(connector, url, "dead")
    hour = datetime.now(UTC) + timedelta(hours=1)
    tombstone = {"st": state, "h": 0, "held": [{"t": "q dead"}], "gone": hour}
    connector._nodes[0]._consumers.update_one({"_id": "q dead"}, {"$set": tombstone, "$inc": {"v": 1}})
    until_sent_on(connector, touch, "dead")


def test_what_was_left_in_a_transaction_of_a_dead_process_is_sent_on_by_others(
    connector: MongoConnector, url: str
) -> None:
    """Whoever finds it does not wait until the server gives the transaction up."""
    node = connector._nodes[0]
    if not node._is_set:
        pytest.skip("a stand-alone server has no transactions")
    connector.join("q", "other", Terms())
    left_by_one_that_died(connector, url, "dead")
    with connector._nodes[0].client.start_session() as session:
        session.start_transaction()
        mover = {"id": session.session_id["id"], "at": int(node.clock.now())}
        node._consumers.update_one({"_id": "q dead"}, {"$set": {"tx": mover}})
        node._consumers.update_one({"_id": "q dead"}, {"$unset": {"tx": 1}}, session=session)
        until_sent_on(connector, "exchange", "dead")


def test_large_effects_of_which_a_part_is_gone_are_not_sent_in_part(connector: MongoConnector) -> None:
    """Only who has sent on all of them deletes them, one document after the other."""
    node = connector._nodes[0]
    lines = lines_of({1: [Send("child", [bytes(MIB)] * 10), Send("elsewhere", [bytes(MIB)] * 10)]}, [1], "q")
    entry = node.stow("token", lines) | {"v": 1}
    assert entry["m"] > 1
    node.relay(entry)
    node._outbox.delete_one({"_id": f"{entry['c']} 0"})
    node.relay(entry)
    assert [len(ready(connector, queue)) for queue in ("child", "elsewhere")] == [10, 10]


# Servers that are killed


class Watched:
    """A worker's connector, before whose `at`-th request something happens to the server."""

    def __init__(self, server: mongod.Cluster, strike: Callable[[], None]) -> None:
        self.connector = opened(server.at("effects"))
        self.node = self.connector._nodes[0]
        self.count, self.at, self.ran, self._strike = 0, 0, False, strike
        self._ask = self.node.ask

    @contextmanager
    def before(self, number: int) -> Iterator[None]:
        self.count, self.at, self.ran = 0, number, False
        self.node.ask = self._watched  # type: ignore[method-assign]
        try:
            yield
        finally:
            self.node.ask = self._ask  # type: ignore[method-assign]

    def _watched(self, *args: Any, **options: Any) -> Any:
        self.count += 1
        if self.count == self.at:
            begun = time.monotonic()
            self._strike()
            time.sleep(max(0.0, IDLE - (time.monotonic() - begun)))
            self.ran = True
        return self._ask(*args, **options)


def repeated(verb: Callable[[], Any]) -> Any:
    """As the core does it: again and unchanged, until it is answered."""
    while True:
        try:
            return verb()
        except StoreUnavailable:
            continue


def restarter(server: mongod.Cluster) -> Callable[[], None]:
    def restart() -> None:
        member = server.members[0]
        member.kill()
        member.start()
        server.primary()

    return restart


def stepper(server: mongod.Cluster) -> Callable[[], None]:
    def step_down() -> None:
        with server.primary().client() as client:
            client.admin.command("replSetStepDown", 1, force=True)
        server.primary()

    return step_down


def settled_once_whatever_happens_before_any_request(server: mongod.Cluster, strike: Callable[[], None]) -> None:
    worker = Watched(server, strike)
    connector = worker.connector
    for at in numbers(worker.node._is_set, 40):
        name = f"me{at}"
        connector.apply("joins", [opening(name)], token=name)
        push(connector, *(b"%s-%d" % (name.encode(), n) for n in range(5)))
        connector.join("q", name, Terms())
        found = repeated(lambda name=name: connector.exchange("q", name, 1, 1, [], 5, MIB)).deliveries  # type: ignore[misc]
        assert len(found) == 5
        worker.node.tell("elsewhere", worker.node.durable())  # with it, all of that is in the journal
        effects = {d.receipt: traces(name, int(d.payload.split(b"-")[1])) for d in found}
        with worker.before(at):
            with suppress(Fenced):  # the answered settlement was undone, with what it left behind: it runs again
                for turn, settled, more in ((2, [Done(1, 5)], effects), (3, [], {})):
                    args = ("q", name, turn, 6, settled, 0, MIB)
                    repeated(lambda args=args, more=more: connector.exchange(*args, effects=more))  # type: ignore[misc]
        repeated(lambda name=name: connector.release("q", name, [], {}, close=True))  # type: ignore[misc]
        check(connector, name)
        if not worker.ran:
            break
    assert not worker.ran and at > 4
    connector.close()


@pytest.mark.fault(37)
def test_nothing_is_lost_or_doubled_when_mongod_is_killed_before_any_request(server: mongod.Cluster, url: str) -> None:
    settled_once_whatever_happens_before_any_request(server, restarter(server))


@pytest.mark.fault(38)
def test_nothing_is_lost_or_doubled_when_the_primary_steps_down_before_any_request(
    server: mongod.Cluster, url: str
) -> None:
    if "replicaSet" not in server.url:
        pytest.skip("a stand-alone server has no primary")
    settled_once_whatever_happens_before_any_request(server, stepper(server))


@pytest.mark.fault(39)
def test_a_child_that_another_primary_has_not_heard_of_is_sent_again() -> None:
    """It has the settlement, and the next write would clear the outbox."""
    with mongod.cluster(3, "effects", "--setParameter", "enableTestCommands=1") as made:
        old, *others = made.members
        struck: list[bool] = []

        def cut_off() -> None:
            for member in others:
                replicate(member, False)
            struck.append(True)

        def elect() -> None:
            old.kill()
            for member in others:
                replicate(member, True)
            made.primary()
            old.start()

        worker = Watched(made, cut_off)
        connector = worker.connector
        push(connector, b"me-0")
        connector.join("q", "me", Terms())
        assert len(connector.exchange("q", "me", 1, 1, [], 1, MIB).deliveries) == 1
        effects = {1: [Keep("k", b"kept", 600.0), Send("child", [b"child"])]}
        node = connector._nodes[0]
        original = node.forward

        def forward(row: Any, stands: bool = False) -> None:
            if stands and not struck:
                node.tell("q", node.durable())  # what was written until now is everywhere
                cut_off()
            original(row, stands)

        node.forward = forward  # type: ignore[method-assign]
        connector.exchange("q", "me", 2, 2, [Done(1, 1)], 0, MIB, effects=effects)
        node.forward = original  # type: ignore[method-assign]
        assert struck and ready(connector, "child") == [b"child"]
        elect()
        assert repeated(lambda: ready(connector, "child")) == []  # it was undone
        repeated(lambda: connector.exchange("q", "me", 3, 2, [], 0, MIB))
        assert ready(connector, "child") == [b"child"]
        assert connector.records("q", ["k"])[0] is not None
        connector.close()


def replicate(member: mongod.Mongod, on: bool) -> None:
    """Let this member fetch what the primary writes, or not."""
    with member.client() as client:
        point = "stopReplProducer"
        client.admin.command("configureFailPoint", point, mode="off" if on else "alwaysOn")
        if not on:
            client.admin.command("waitForFailPoint", point, timesEntered=1, maxTimeMS=20_000)
