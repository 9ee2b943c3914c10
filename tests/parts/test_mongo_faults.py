"""What the MongoDB connector does when answers are cut, logins fail, clocks jump and members disagree: on real servers."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from pymongo.errors import OperationFailure

sys.path.insert(0, str(Path(__file__).parent.parent))
from harness import mongod
from harness.proxy import Proxy
from regiment.contracts import Back, Delivery, Done, Terms
from regiment.errors import Fenced, StoreError, StoreUnavailable
from regiment_mongo.connector import MongoConnector
from regiment_mongo.errors import LayoutGone, OtherKind, judged
from regiment_mongo.moving import LIVING

MIB = 1 << 20


@pytest.fixture(scope="module")
def one() -> Iterator[mongod.Cluster]:
    with mongod.cluster(replica_set="one") as made:
        yield made


@pytest.fixture
def direct(one: mongod.Cluster) -> Iterator[MongoConnector]:
    mongod.empty(one.url, "faults")
    made = opened(one.at("faults"))
    yield made
    made.close()


@pytest.fixture
def proxy(one: mongod.Cluster, direct: MongoConnector) -> Iterator[Proxy]:
    with Proxy(one.members[0].port) as made:
        yield made


def opened(url: str, **options: Any) -> MongoConnector:
    made = MongoConnector(url, **{"timeout": 5, **options})
    made.open("lease")
    return made


def behind(proxy: Proxy) -> MongoConnector:
    return opened(f"mongodb://127.0.0.1:{proxy.port}/faults?directConnection=true")


def push(connector: MongoConnector, *payloads: bytes, **more: Any) -> None:
    connector.push("q", payloads, **{"priority": 1, "token": os.urandom(8).hex(), **more})


def is_claim(request: bytes) -> bool:
    return b"regiment.consumers" in request and b"\x02update\x00" in request


def repeated(worker: MongoConnector, *args: Any) -> Any:
    """An exchange as the core sends it: again and unchanged, until it is answered."""
    for _ in range(20):
        try:
            return worker.exchange("q", "me", *args)
        except StoreUnavailable:
            continue
    raise AssertionError("no answer after 20 repeats")


@pytest.mark.fault(4)
@pytest.mark.fault(5)
@pytest.mark.fault(44)
@pytest.mark.parametrize("how", ["reply", "bytes", "garbled"])
def test_an_exchange_whose_answer_was_lost_cut_in_the_middle_or_garbled_is_answered_again(
    direct: MongoConnector, proxy: Proxy, how: str
) -> None:
    push(direct, *(b"%d" % n for n in range(200)))
    worker = behind(proxy)
    worker.join("q", "me", Terms())
    found: list[bytes] = []
    settlements: list[Done] = []
    for turn in range(1, 21):
        if how == "reply":
            proxy.cut_reply(is_claim)
        elif how == "garbled":
            proxy.garble(is_claim)
        else:
            proxy.cut_after(37 * turn)
        taken = repeated(worker, turn, 10 * turn - 9, settlements, 10, MIB)
        assert not taken.lost
        found += [delivery.payload for delivery in taken.deliveries]
        settlements = [Done(10 * turn - 9, 10 * turn)]
    assert found == [b"%d" % n for n in range(200)]
    assert proxy.cuts >= 15
    assert not repeated(worker, 21, 201, settlements, 10, MIB).lost
    proxy.pass_on()
    assert direct.counts("q")[:3] == (0, 0, 0)
    worker.close()


def is_task(request: bytes) -> bool:
    return b"regiment.tasks" in request and b"upsert" in request


def is_hint(request: bytes) -> bool:
    return b"regiment.wakes" in request and b"\x02insert\x00" in request


def is_commit(request: bytes) -> bool:
    return b"commitTransaction" in request


@pytest.mark.fault(65)
@pytest.mark.parametrize("lost", [is_task, is_hint, is_commit])
def test_a_push_whose_answer_was_lost_is_repeated_without_a_copy(
    lost: Callable[[bytes], bool], direct: MongoConnector, proxy: Proxy
) -> None:
    producer = behind(proxy)
    each = 3 if lost is is_commit else 1
    for n in range(10):
        proxy.cut_reply(lost)
        payloads = [b"%d" % n] * each
        for _ in range(5):
            try:
                assert producer.push("q", payloads, priority=1, token=f"{n}") == []
                break
            except StoreUnavailable as error:
                assert error.maybe_pushed
    found = [p.payload for p in direct.peek("q", "ready")]
    assert found == [b"%d" % n for n in range(10) for _ in range(each)]
    assert proxy.cuts == 10
    producer.close()


GIVES_BACK_AND_DIES = """
import os, signal, sys
from pymongo import monitoring
from regiment_mongo.connector import MongoConnector
from regiment_mongo.errors import LayoutGone, OtherKind, judged

class Killer(monitoring.CommandListener):
    def started(self, event):
        if event.command_name == "commitTransaction":
            os.kill(os.getpid(), signal.SIGKILL)
    def succeeded(self, event): pass
    def failed(self, event): pass

monitoring.register(Killer())
keeper = MongoConnector(sys.argv[1], timeout=5)
keeper.open("lease")
keeper.release("q", "me", [], {}, only=(2, 2))
"""


@pytest.mark.fault(5)
@pytest.mark.parametrize("who", ["another keeper", "a renewal", "the worker itself", "an overdue lease"])
def test_what_a_process_held_that_died_inside_its_transaction_is_free_after_a_second(
    direct: MongoConnector, one: mongod.Cluster, who: str
) -> None:
    """The server alone would end the transaction after `transactionLifetimeLimitSeconds`, a minute."""
    push(direct, b"one", b"two")
    worker = opened(one.at("faults"))
    worker.join("q", "me", Terms(lease=2.0 if who == "an overdue lease" else 30.0))
    assert len(worker.exchange("q", "me", 1, 1, [], 2, MIB).deliveries) == 2
    died = subprocess.run([sys.executable, "-c", GIVES_BACK_AND_DIES, one.at("faults")], check=False, timeout=30)
    assert died.returncode == -signal.SIGKILL
    assert direct.counts("q")[:3] == (0, 0, 2)  # not committed

    began = time.monotonic()
    if who == "another keeper":
        direct.release("q", "me", [], {}, close=True)
    elif who == "a renewal":
        assert direct.renew([("q", "me")], 30.0) == []
        direct.release("q", "me", [], {}, close=True)
    elif who == "the worker itself":
        taken = repeated(worker, 2, 3, [Done(1, 1), Back(2, 2)], 0, MIB)
        assert not taken.lost and not taken.deliveries
    else:
        time.sleep(2.1)
        direct.join("q", "other", Terms())
        assert len(direct.exchange("q", "other", 1, 1, [], 2, MIB).deliveries) == 2
        return worker.close()
    assert time.monotonic() - began < 20
    assert direct.counts("q")[:3] == (1 if who == "the worker itself" else 2, 0, 0)
    return worker.close()


def test_a_keeper_that_renews_as_its_worker_gives_back_disturbs_nothing(
    direct: MongoConnector, one: mongod.Cluster
) -> None:
    """It waits for a transaction of the living, and ends only one that takes longer than any of them."""
    push(direct, *(b"%d" % n for n in range(10)))
    worker, over, chance = opened(one.at("faults")), threading.Event(), random.Random(1)
    worker.join("q", "me", Terms())

    def renew() -> int:
        times = 0
        while not over.wait(chance.uniform(0, 0.02)):
            assert direct.renew([("q", "me")], 30.0) == []
            times += 1
        return times

    with ThreadPoolExecutor(1) as pool:
        renewing = pool.submit(renew)
        try:
            held: list[Delivery] = []
            for turn in range(1, 151):
                back = [Back(one.receipt, one.receipt) for one in held]
                taken = worker.exchange("q", "me", turn, 10 * turn, back, 10, MIB)
                assert not taken.lost
                held = list(taken.deliveries)
                assert [one.payload for one in held] == [b"%d" % n for n in range(10)]
        finally:
            over.set()
        assert renewing.result() > 50
    assert direct.counts("q")[:3] == (0, 0, 10)
    worker.close()


def test_a_giving_back_that_came_too_late_leaves_no_mark_that_others_wait_for(
    direct: MongoConnector, one: mongod.Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(direct, *(b"%d" % n for n in range(6)))
    worker = opened(one.at("faults"))
    worker.join("q", "me", Terms())
    assert len(worker.exchange("q", "me", 1, 1, [], 4, MIB).deliveries) == 4
    node = direct._nodes[0]
    forget, turns = node._forget, iter([2, 3])

    def late(*args: Any) -> Any:
        """In the middle of the transaction its worker is quicker, twice."""
        if (turn := next(turns, None)) is not None:
            worker.exchange("q", "me", turn, 3 + turn, [Done(turn, turn)], 1, MIB)
        return forget(*args)

    monkeypatch.setattr(node, "_forget", late)
    began = time.monotonic()
    direct.release("q", "me", [], {}, only=(4, 4))
    assert time.monotonic() - began < LIVING / 1000
    assert direct.counts("q")[:3] == (1, 0, 3)
    worker.close()


@pytest.mark.fault(52)
@pytest.mark.parametrize("hours", [1, -1])
def test_a_server_whose_clock_jumps_an_hour_takes_no_lease_away_and_gives_no_dead_worker_an_hour(
    direct: MongoConnector, one: mongod.Cluster, hours: int
) -> None:
    """The jump is made in the documents: everything that the server wrote is an hour younger or older than its clock."""
    push(direct, *(b"%d" % n for n in range(6)))
    for name in ("dead", "alive"):
        direct.join("q", name, Terms(lease=2.0))
        assert len(direct.exchange("q", name, 1, 1, [], 2, MIB).deliveries) == 2
    with one.primary().client() as client:
        database = client["faults"]
        database["regiment.queues"].update_one({}, {"$inc": {"stamp": -hours * 3_600_000}})
        database["regiment.consumers"].update_many({}, {"$inc": {"until": -hours * 3_600_000}})
    assert direct.renew([("q", "alive"), ("q", "dead")], 2.0) == []
    assert not direct.exchange("q", "alive", 2, 3, [], 0, MIB).lost
    again: list[bytes] = []
    begun = time.monotonic()
    turn, base = 2, 3
    while len(again) < 4 and time.monotonic() - begun < 20:
        assert direct.renew([("q", "alive")], 2.0) == []
        turn += 1
        taken = direct.exchange("q", "alive", turn, base, [], 4, MIB)
        again += [delivery.payload for delivery in taken.deliveries]
        base += len(taken.deliveries)
        time.sleep(0.1)
    assert sorted(again) == [b"0", b"1", b"4", b"5"], "the rest, and what the dead one held"


@pytest.mark.fault(52)
def test_a_stamp_from_a_request_that_began_later_moves_no_deadline(direct: MongoConnector, one: mongod.Cluster) -> None:
    """Or deadlines would creep towards the living, a few milliseconds for each two requests that overtake each other."""
    direct.join("q", "me", Terms(lease=30.0))
    with one.primary().client() as client:
        rows = client["faults"]["regiment.queues"]
        for _ in range(5):
            rows.update_one({"_id": "q"}, {"$inc": {"stamp": 5_000}})
            assert direct.renew([("q", "me")], 30.0) == []
        found = rows.find_one({"_id": "q"})
    assert found is not None and found["shift"] == 0


@pytest.mark.fault(45)
def test_a_wrong_password_ends_the_start_in_words_and_without_the_secret(tmp_path: Path) -> None:
    server = mongod.Mongod(tmp_path, None, "--auth").start()
    try:
        with server.client() as client:
            client.admin.command("createUser", "ann", pwd="right", roles=["root"])
        where = f"127.0.0.1:{server.port}/q?authSource=admin"
        begun = time.monotonic()
        with pytest.raises(StoreError, match="refuses the user name or the password") as caught:
            opened(f"mongodb://ann:sesame@{where}")
        assert time.monotonic() - begun < 5
        assert not isinstance(caught.value, StoreUnavailable), "nobody waits for it to get better"
        assert "sesame" not in str(caught.value)
        opened(f"mongodb://ann:right@{where}").close()
    finally:
        server.kill()


@pytest.mark.fault(45)
@pytest.mark.parametrize("what", ["rights", "password"])
def test_rights_and_a_password_that_are_changed_while_a_worker_runs_are_waited_for(tmp_path: Path, what: str) -> None:
    server = mongod.Mongod(tmp_path, None, "--auth").start()
    try:
        with server.client() as client:
            client.admin.command("createUser", "boss", pwd="boss", roles=["root"])
        boss = f"mongodb://boss:boss@127.0.0.1:{server.port}/?directConnection=true"
        with mongod.MongoClient(boss) as client:
            users = client["q"]
            users.command("createUser", "ann", pwd="right", roles=["readWrite"])
            worker = opened(f"mongodb://ann:right@127.0.0.1:{server.port}/q")
            worker.join("q", "me", Terms())
            if what == "rights":
                users.command("updateUser", "ann", roles=["read"])
            else:
                users.command("updateUser", "ann", pwd="another")
                server.stop()  # a connection that has logged in stays so
                server.start()
            with pytest.raises(StoreUnavailable, match="refuses"):
                for turn in range(1, 10):
                    worker.exchange("q", "me", turn, turn, [], 1, MIB)
        with mongod.MongoClient(boss) as client:
            client["q"].command("updateUser", "ann", pwd="right", roles=["readWrite"])
        time.sleep(1)
        assert worker.counts("q").ready == 0
        push(worker, b"one")
        worker.close()
    finally:
        server.kill()


def test_one_table_says_of_each_code_whether_it_passes_is_final_or_is_ours_to_mend() -> None:
    def judge(code: int, text: str = "…", worked: bool = True) -> type[StoreError]:
        return type(judged("mongodb://h", OperationFailure(text, code), worked=worked))

    for code in (91, 112, 189, 215, 216, 246, 10107, 11600, 13435):
        assert judge(code) is StoreUnavailable
    for code in (13, 18):
        assert judge(code, worked=False) is StoreError, "at the start it is final"
        assert judge(code) is StoreUnavailable, "it has worked before"
    assert judge(27) is judge(2, "hint provided does not correspond to an existing index") is LayoutGone
    assert judge(20) is OtherKind
    assert judge(2) is judge(9) is judge(72) is StoreError
    assert "push fewer" in str(judged("mongodb://h", OperationFailure("…", 388)))


def test_a_member_that_runs_outside_its_set_for_a_while_is_used_again_when_it_is_back() -> None:
    """The driver takes it for none of the set's, and with the last one it looks for no server any more."""
    with mongod.cluster(1, "away") as made:
        url, member = made.at("faults"), made.members[0]
        worker, producer = opened(url, timeout=1.0), opened(url, timeout=1.0)
        worker.join("q", "me", Terms())
        push(producer, b"before")
        member.stop()
        alone = mongod.Mongod(member._folder, None)
        alone.port = member.port
        alone.start()
        for connector in (worker, producer):
            gone = time.monotonic() + 20
            while connector._nodes[0].is_open and time.monotonic() < gone:
                with pytest.raises(StoreUnavailable):
                    connector.counts("q")
            assert not connector._nodes[0].is_open, "the driver has given up"
        alone.stop()
        member.start()
        made.primary()
        began = time.monotonic()
        for connector in (worker, producer):
            while True:
                try:
                    assert connector.counts("q").ready == 1
                    break
                except StoreUnavailable:
                    assert time.monotonic() - began < 5
        push(producer, b"after")
        found = repeated(worker, 1, 1, [], 5, MIB).deliveries
        assert [one.payload for one in found] == [b"before", b"after"]
        worker.exchange("q", "me", 2, 3, [Done(1, 2)], 5, MIB)
        push(producer, b"hint")
        assert worker.wait([("q", "me")], 5.0) == ["q"]
        worker.close()
        producer.close()


@pytest.mark.fault(50)
def test_a_server_without_free_connections_is_unavailable_and_leaks_nothing(
    tmp_path: Path,
) -> None:
    server = mongod.Mongod(tmp_path, None, "--maxConns", "8").start()
    try:
        held = [opened(server.url, timeout=0.5) for _ in range(2)]
        before = psutil.Process().num_fds()
        for _ in range(5):
            refused = MongoConnector(server.url, timeout=0.5)
            try:
                refused.open("lease")
                held.append(refused)
            except StoreUnavailable:
                refused.close()
        full = psutil.Process().num_fds()
        for _ in range(8):
            with pytest.raises(StoreUnavailable):
                MongoConnector(server.url, timeout=0.5).open("lease")
        assert psutil.Process().num_fds() < full + 4, "eight were refused"
        for connector in held:
            connector.close()
        assert psutil.Process().num_fds() < before + 4
        opened(server.url).close()
    finally:
        server.kill()


def replicate(member: mongod.Mongod, on: bool) -> None:
    """Let a member fetch what the primary writes, or not."""
    with member.client() as client:
        point = "stopReplProducer"
        client.admin.command("configureFailPoint", point, mode="off" if on else "alwaysOn")
        if not on:
            client.admin.command("waitForFailPoint", point, timesEntered=1, maxTimeMS=20_000)


@pytest.mark.fault(39)
def test_a_rollback_undoes_claims_and_settlements_and_no_push() -> None:
    with mongod.cluster(3, "rollback", "--setParameter", "enableTestCommands=1") as made:
        connector = opened(made.at("faults"), timeout=20)
        push(connector, *(b"%d" % n for n in range(20)))
        old, *others = made.members
        for member in others:
            replicate(member, False)
        connector.join("q", "me", Terms())
        assert len(connector.exchange("q", "me", 1, 1, [], 10, MIB).deliveries) == 10
        connector.exchange("q", "me", 2, 11, [Done(1, 5)], 0, MIB)
        old.kill()
        for member in others:
            replicate(member, True)
        made.primary()
        with pytest.raises(Fenced):
            connector.exchange("q", "me", 3, 11, [], 10, MIB)
        old.start()
        connector.join("q", "new", Terms())
        found: list[bytes] = []
        for turn in (1, 2):
            taken = connector.exchange("q", "new", turn, 10 * turn - 9, [], 10, MIB)
            found += [delivery.payload for delivery in taken.deliveries]
        assert found == [b"%d" % n for n in range(20)], "what was claimed or done is there again"
        connector.close()
