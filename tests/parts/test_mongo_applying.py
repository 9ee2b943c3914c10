"""`apply` and `follow` on MongoDB: calls cut off at any request, conditions that meet, and many keys at once."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))
from harness import mongod
from regiment.contracts import Applied, Done, Keep, Send, Terms, When
from regiment_mongo.connector import MongoConnector

MIB = 1 << 20


@pytest.fixture
def url(mongo: mongod.Cluster) -> str:
    mongod.empty(mongo.url, "applying")
    return mongo.at("applying")


@pytest.fixture
def connector(url: str) -> Iterator[MongoConnector]:
    made = opened(url)
    yield made
    made.close()


def opened(url: str, role: Any = "lease") -> MongoConnector:
    made = MongoConnector(url, timeout=20)
    made.open(role)
    return made


def ready(connector: MongoConnector, queue: str) -> list[bytes]:
    return sorted(seen.payload for seen in connector.peek(queue, "ready", 10_000))


class CutOff(BaseException):
    """A process ends here. No code of the connector sees it as an error of the store."""


class Cut:
    """A connector that ends before its `at`-th request."""

    def __init__(self, url: str, role: Any = "lease") -> None:
        self.connector = opened(url, role)
        self._node = self.connector._nodes[0]
        self._ask = self._node.ask
        self.count = self.at = 0

    @contextmanager
    def before(self, number: int) -> Iterator[None]:
        self.count, self.at = 0, number
        self._node.ask = self._cut  # type: ignore[method-assign]
        try:
            yield
        finally:
            self._node.ask = self._ask  # type: ignore[method-assign]

    def _cut(self, *args: Any, **options: Any) -> Any:
        self.count += 1
        if self.count == self.at:
            raise CutOff
        return self._ask(*args, **options)


def left(name: str) -> list[Any]:
    return [Keep("state", name.encode(), None), Keep(name, b"v", None), Send("child", [name.encode()])]


@pytest.mark.parametrize(
    "who", ["a repeat", "an exchange", "a renewal", "a release", "another call that wants the record"]
)
@pytest.mark.parametrize("conditional", [False, True], ids=["", "with a condition"])
def test_a_call_that_is_cut_off_before_any_request_is_nothing_or_is_finished_by(
    connector: MongoConnector, url: str, who: str, conditional: bool
) -> None:
    cut = Cut(url)
    connector.join("q", "me", Terms())
    turn = 0
    for at in range(1, 40):
        name = f"c{at}"
        [state] = connector.records("q", ["state"])
        when = [When("state", 0 if state is None else state.version), When(f"{name}-new", 0)] if conditional else []
        ended = True
        with cut.before(at):
            try:
                cut.connector.apply("q", left(name), token=name, when=when)
            except CutOff:
                ended = False
        there = connector._nodes[0]._outbox.find_one({"_id": f"q {name}"})
        connector._nodes[0]._outbox.update_many({"p": 1}, {"$inc": {"on": -5_000}})  # a while ago
        if who == "a repeat":
            again = connector.apply("q", left(name), token=name, when=when)
            assert again.done and again == connector.apply("q", left(name), token=name, when=when)
        elif who == "an exchange":
            turn += 1
            connector._nodes[0]._facts.clear()
            connector.exchange("q", "me", turn, 1, [], 1, MIB)
        elif who == "a renewal":
            connector.renew([("q", "me")], 30.0)
        elif who == "a release":
            connector.release("q", "nobody", [], {})
        else:
            [now] = connector.records("q", ["state"])
            want = [When("state", 0 if now is None else now.version)]
            connector.apply("q", [Keep("state", b"other", None)], token=f"{name}-other", when=want)
            connector.renew([("q", "me")], 30.0)
        wanted = who == "a repeat" or there is not None
        if conditional and who.startswith("another") and connector.records("q", [name])[0] is None:
            wanted = False  # the other was first, and then the condition did not hold
        assert ready(connector, "child").count(name.encode()) == int(wanted), (at, there)
        assert (connector.records("q", [name])[0] is not None) is wanted
        if ended:
            break
    assert ended and at > 3
    assert connector._nodes[0]._records.count_documents({"lk": {"$exists": True}}) == 0
    cut.connector.close()


def test_of_calls_with_conditions_that_meet_each_sees_what_the_others_did(url: str) -> None:
    """Two records that are always changed together count up by one: no step is lost, and none is half there."""
    done = threading.Barrier(6)
    each = 10

    def work(number: int) -> int:
        mine, tries = opened(url, "push"), 0
        done.wait(30)
        for step in range(each):
            while True:
                tries += 1
                a, b = mine.records("q", ["a", "b"])
                count = 0 if a is None else int(a.value)
                when = [When("b", 0 if b is None else b.version), When("a", 0 if a is None else a.version)]
                new = [Keep(key, b"%d" % (count + 1), None) for key in ("a", "b")]
                child = Send("child", [b"%d" % (count + 1)])
                answer: Applied = mine.apply("q", [*new, child], token=f"{number} {step} {tries}", when=when)
                if answer.done:
                    assert answer.version > 0
                    break
        mine.close()
        return tries

    with ThreadPoolExecutor(6) as pool:
        tries = sum(pool.map(work, range(6)))
    connector = opened(url)
    a, b = connector.records("q", ["a", "b"])
    assert a is not None and b is not None and a.value == b.value == b"%d" % (6 * each), tries
    assert sorted(map(int, ready(connector, "child"))) == list(range(1, 6 * each + 1))
    connector.close()


def test_ten_thousand_keys_are_followed_in_one_call(url: str, connector: MongoConnector) -> None:
    follower = opened(url, "follow")
    connector.apply("q", [Keep("k17", b"there", None)], token="17")
    keys = {("q", f"k{n}"): 0 for n in range(10_000)}
    begun = time.monotonic()
    assert list(follower.follow(keys, 120.0)) == [("q", "k17")]
    print(f"10,000 followed in {time.monotonic() - begun:.2f} s")
    assert time.monotonic() - begun < 60
    connector.apply("q", [Keep(f"k{n}", b"%d" % n, None) for n in range(0, 10_000, 4)], token="many")
    found: dict[Any, Any] = {}
    end = time.monotonic() + 60
    while len(found) < 2_500:
        assert time.monotonic() < end, len(found)
        some = follower.heard(5.0)
        if some is None:
            found |= follower.follow({key: 0 for key in keys if key not in found}, 120.0)
        else:
            found |= some
    assert set(found) - {("q", "k17")} == {("q", f"k{n}") for n in range(0, 10_000, 4)}
    assert all(record is not None and record.value for record in found.values())
    follower.close()


@pytest.mark.parametrize("kilobytes", [200, 300, 3_000])
def test_effects_of_any_size_leave_the_room_of_what_is_held(connector: MongoConnector, kilobytes: int) -> None:
    """A consumer may hold 15 MiB besides."""
    connector.push("q", [b"first", bytes(15 * MIB)], priority=1, token="t")
    connector.join("q", "me", Terms())
    held = len(connector.exchange("q", "me", 1, 1, [], 2, 100 * MIB).deliveries)
    assert held == 2
    value = os.urandom(1024) * kilobytes
    effects = {1: [Keep(f"k{n}", value, 600.0) for n in range(5)] + [Send("child", [value] * 5)]}
    taken = connector.exchange("q", "me", 2, 3, [Done(1, 1)], 0, MIB, effects=effects)
    assert not taken.lost
    assert [r is not None and r.value == value for r in connector.records("q", [f"k{n}" for n in range(5)])] == [
        True
    ] * 5
    assert ready(connector, "child") == [value] * 5
    connector.exchange("q", "me", 3, 3, [], 0, MIB)
    assert connector._nodes[0]._outbox.count_documents({}) == 0, "large effects are gone when nothing refers to them"
    assert not connector.exchange("q", "me", 4, 3, [Done(2, 2)], 0, MIB).lost


def test_a_renewal_sends_on_what_a_worker_that_is_busy_has_left(connector: MongoConnector, url: str) -> None:
    connector.push("q", [b"1", b"2"], priority=1, token="t")
    cut = Cut(url)
    cut.connector.join("q", "me", Terms())
    assert len(cut.connector.exchange("q", "me", 1, 1, [], 2, MIB).deliveries) == 2
    with cut.before(3), pytest.raises(CutOff):  # what the queue's row says, then the settlement
        cut.connector.exchange("q", "me", 2, 3, [Done(1, 1)], 0, MIB, effects={1: [Send("child", [b"c"])]})
    connector._nodes[0]._consumers.update_one({"_id": "q me"}, {"$inc": {"oa": -5_000}})
    assert ready(connector, "child") == []
    assert connector.renew([("q", "me")], 30.0) == []
    assert ready(connector, "child") == [b"c"]
    cut.connector._nodes[0]._rows.clear()
    assert not cut.connector.exchange("q", "me", 2, 3, [Done(1, 1)], 0, MIB).lost
    assert not cut.connector.exchange("q", "me", 3, 3, [Done(2, 2)], 0, MIB).lost
    assert ready(connector, "child") == [b"c"]
    cut.connector.close()
