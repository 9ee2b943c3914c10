"""An operator's hand on MongoDB: against a worker between any two of its requests, killed at any of its own, and not answered."""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pymongo import monitoring
from pymongo.errors import AutoReconnect

sys.path.insert(0, str(Path(__file__).parent.parent))
from harness import mongod
from harness.scale import FULL
from regiment.contracts import Done, Terms
from regiment.errors import StoreUnavailable
from regiment_mongo.connector import MongoConnector
from regiment_mongo.glance import Glances

MIB = 1 << 20
CHANGES: dict[str, dict[str, Any]] = {
    "drop": {"drop": True},
    "priority": {"priority": 3},
    "delay": {"delay": 900.0},
    "run": {"delay": 0.0},
}


def opened(url: str, role: Any = "lease") -> MongoConnector:
    made = MongoConnector(url, timeout=20)
    made.open(role)
    return made


@pytest.fixture
def url(mongo: mongod.Cluster) -> str:
    mongod.empty(mongo.url, "steer")
    return mongo.at("steer")


@pytest.fixture
def connector(url: str) -> Iterator[MongoConnector]:
    made = opened(url)
    yield made
    made.close()


def push(connector: MongoConnector, *payloads: bytes, **more: Any) -> None:
    connector.push("q", payloads, **{"priority": 1, "token": os.urandom(8).hex(), **more})


def seen(connector: MongoConnector) -> list[Any]:
    return [task for state in ("ready", "delayed", "leased") for task in connector.look("q", state, 10_000).tasks]  # type: ignore[arg-type]


def payloads(connector: MongoConnector) -> list[bytes]:
    return sorted(task.payload for task in seen(connector))


def mixed(connector: MongoConnector, name: str) -> list[bytes]:
    """Tasks of every kind: with a token of their own, pushed together, with ids; ready and delayed."""
    said = [f"{name}-{n}".encode() for n in range(8)]
    push(connector, said[0], token=f"{name}-0")
    push(connector, *said[1:3])
    push(connector, said[3], ids=[f"{name}-3"])
    push(connector, said[4], delay=600, token=f"{name}-4")
    push(connector, *said[5:7], delay=600)
    push(connector, said[7], delay=600, ids=[f"{name}-7"])
    return said


# Against a worker, in a given order


def between(monkeypatch: pytest.MonkeyPatch, node: Any, verb: str, act: Callable[[], object]) -> None:
    """Have this done once, just before this step of a verb."""
    before, left = getattr(node, verb), [act]

    def first(*args: Any, **options: Any) -> Any:
        if left:
            left.pop()()
        return before(*args, **options)

    monkeypatch.setattr(node, verb, first)


@pytest.mark.parametrize("many", [1, 5])
@pytest.mark.parametrize("what", list(CHANGES))
def test_what_a_hand_has_changed_is_not_leased_as_a_worker_read_it_before(
    connector: MongoConnector, url: str, monkeypatch: pytest.MonkeyPatch, many: int, what: str
) -> None:
    """The hand comes between the worker's reading and its claim."""
    operator = opened(url)
    push(connector, *(b"%d" % n for n in range(many)))
    connector.join("q", "me", Terms())
    places = [task.place for task in operator.look("q", "ready").tasks]
    done: list[str] = []
    between(
        monkeypatch, connector._nodes[0], "_write", lambda: done.extend(operator.steer("q", places, **CHANGES[what]))
    )
    leased = connector.exchange("q", "me", 1, 1, [], 10, MIB).deliveries
    assert done == places
    expected = 0 if what in ("drop", "delay") else many
    if len(leased) < expected:  # what is not there any more is not delivered; the next exchange finds the changed ones
        leased = [*leased, *connector.exchange("q", "me", 2, 50, [], 10, MIB).deliveries]
    assert sorted(one.payload for one in leased) == [b"%d" % n for n in range(expected)]
    held = [(task.payload, task.priority) for task in connector.look("q", "leased").tasks]
    assert held == [(b"%d" % n, 3 if what == "priority" else 1) for n in range(expected)]
    assert len(seen(operator)) == (0 if what == "drop" else many)
    operator.close()


@pytest.mark.parametrize("many", [1, 5])
def test_what_a_worker_has_claimed_and_not_removed_yet_is_left_to_it(
    connector: MongoConnector, url: str, monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    operator, done = opened(url), ["never asked"]
    push(connector, *(b"%d" % n for n in range(many)))
    connector.join("q", "me", Terms())
    places = [task.place for task in operator.look("q", "ready").tasks]

    def steer() -> None:
        done[:] = operator.steer("q", places, drop=True)

    between(monkeypatch, connector._nodes[0], "_confirm", steer)
    assert len(connector.exchange("q", "me", 1, 1, [], 10, MIB).deliveries) == many
    assert done == [] and [task.state for task in seen(operator)] == ["leased"] * many
    operator.close()


@pytest.mark.parametrize("many", [2, 5])
@pytest.mark.parametrize("settled", [False, True], ids=["leased", "settled"])
def test_a_hand_leaves_what_a_worker_took_after_it_was_read(
    connector: MongoConnector, url: str, monkeypatch: pytest.MonkeyPatch, many: int, settled: bool
) -> None:
    """Of the others it has all. The worker may even have settled them when the hand writes down what it takes."""
    operator = opened(url)
    push(connector, *(b"%d" % n for n in range(many)))
    connector.join("q", "me", Terms())
    places = [task.place for task in operator.look("q", "ready").tasks]

    def work() -> None:
        assert connector.exchange("q", "me", 1, 1, [], 1, MIB).deliveries[0].payload == b"0"
        if settled:
            connector.exchange("q", "me", 2, 2, [Done(1, 1)], 0, MIB)

    between(monkeypatch, operator._nodes[0], "together", lambda: None)
    node = operator._nodes[0]
    ask, left = node.ask, [work]

    def asked(command: Any, *args: Any, **options: Any) -> Any:
        if left and command.get("insert") == node._consumers.name:
            left.pop()()
        return ask(command, *args, **options)

    monkeypatch.setattr(node, "ask", asked)
    assert operator.steer("q", places, priority=5) == places[1:]
    rest = [(b"%d" % n, 5) for n in range(1, many)]
    assert [(task.payload, task.priority) for task in operator.look("q", "ready").tasks] == rest
    assert connector.counts("q").leased == (0 if settled else 1)
    operator.close()


def test_hands_at_every_moment_do_not_keep_a_worker_from_claiming(
    connector: MongoConnector, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One before each of its claims, again and again."""
    operator = opened(url)
    push(connector, *(b"%d" % n for n in range(60)))
    connector.join("q", "me", Terms())
    places = [task.place for task in operator.look("q", "ready").tasks]
    node = connector._nodes[0]
    write = node._write

    def steered(*args: Any, **options: Any) -> Any:
        if places:
            operator.steer("q", [places.pop()], delay=600)
        return write(*args, **options)

    monkeypatch.setattr(node, "_write", steered)
    found = list[bytes]()
    for turn in range(1, 21):
        found += [one.payload for one in connector.exchange("q", "me", turn, 10 * turn, [], 3, MIB).deliveries]
    delayed = [task.payload for task in operator.look("q", "delayed").tasks]
    assert len(found) + len(delayed) == 60 == len({*found, *delayed}) and len(found) >= 30
    operator.close()


def test_a_delayed_task_that_became_ready_meanwhile_is_another_place(
    connector: MongoConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(connector, b"a", b"b", delay=0.5)
    connector.join("q", "me", Terms())
    places = [task.place for task in connector.look("q", "delayed").tasks]
    turn = 0
    while connector.counts("q").ready < 2:
        turn += 1
        connector._nodes[0]._facts.clear()
        connector.exchange("q", "me", turn, 1, [], 0, MIB)
    assert connector.steer("q", places, drop=True) == []
    assert len(connector.steer("q", [task.place for task in seen(connector)], drop=True)) == 2


# Without an answer, and killed


class Deaf:
    """Gets no answer to the `number`-th request of a hand, though it was executed; or (`lost`) it never arrived."""

    def __init__(self, connector: MongoConnector, number: int, lost: bool) -> None:
        self._node, self.left, self._lost = connector._nodes[0], number, lost
        self._ask = self._node.ask
        self._node.ask = self.ask  # type: ignore[method-assign]

    def hears_again(self) -> None:
        self._node.ask = self._ask  # type: ignore[method-assign]

    def ask(self, *args: Any, **options: Any) -> Any:
        self.left -= 1
        if self.left == 0 and self._lost:
            raise AutoReconnect("gone")
        answer = self._ask(*args, **options)
        if self.left == 0:
            raise AutoReconnect("gone")
        return answer


@pytest.mark.parametrize(
    ("what", "lost"),
    [
        pytest.param("drop", False, id="dropped without an answer"),
        pytest.param("delay", True, id="delayed by what never arrived"),
        pytest.param("drop", True, id="dropped by what never arrived", marks=pytest.mark.long),
        pytest.param("delay", False, id="delayed without an answer", marks=pytest.mark.long),
        pytest.param("priority", False, id="moved without an answer", marks=pytest.mark.long),
    ],
)
def test_a_call_that_was_not_answered_says_at_its_repeat_what_was_done(
    connector: MongoConnector, url: str, what: str, lost: bool
) -> None:
    """Whatever request it was: each task is changed once, and named."""
    operator = opened(url)
    for number in range(1, 40):
        said = mixed(connector, f"n{number}")
        places = [task.place for task in seen(connector)]
        deaf = Deaf(operator, number, lost)
        with suppress(StoreUnavailable):
            operator.steer("q", places, **CHANGES[what])
        deaf.hears_again()
        again = deaf.left <= 0
        if again:
            assert operator.steer("q", places, **CHANGES[what]) == places
            assert payloads(connector) == ([] if what == "drop" else said)
            assert connector.counts("q").leased == 0
        connector.purge("q")
        if not again:
            break
    assert number > 5 and not again
    operator.close()


def killed(url: str, places: list[str], number: int, change: dict[str, Any]) -> bool:
    """Whether a process that steers was killed before its `number`-th request, and not done by then."""
    if (pid := os.fork()) == 0:
        try:
            killer = mongod.Killer()
            monitoring.register(killer)
            operator = opened(url, "look")
            operator._nodes[0].held_for = -1.0  # overdue at once
            killer.left = number
            operator.steer("q", places, **change)
            os._exit(0)
        finally:
            os._exit(3)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in (0, -signal.SIGKILL)
    return code != 0


def looked_after(connector: MongoConnector, name: str) -> None:
    """By exchanges, which find the hand overdue."""
    connector.join("q", name, Terms())
    for turn in (1, 2):
        connector._nodes[0]._facts.clear()
        connector.exchange("q", name, turn, 1, [], 0, MIB)
    connector.release("q", name, [], {}, close=True)


@pytest.mark.parametrize("what", ["drop", "priority", pytest.param("delay", marks=pytest.mark.long)])
def test_a_hand_that_is_killed_before_any_request_has_changed_its_tasks_or_they_come_back(
    connector: MongoConnector, url: str, what: str
) -> None:
    """All of them or none, as they were, with their ids and tokens, and nothing is counted. At the size of a commit every second
    request, the others with the other kind of server.
    """
    first = 1 if connector._nodes[0]._is_set else 2
    for number in range(1, 60) if FULL else range(first, 60, 2):
        name = f"k{number}"
        said = mixed(connector, name)
        before = seen(connector)
        again = killed(url, [task.place for task in before], number, CHANGES[what])
        looked_after(connector, name)
        after = {task.payload: task for task in seen(connector)}
        assert Counter(payloads(connector)) in (Counter(said), Counter() if what == "drop" else Counter(said))
        assert all((task.count, task.note, task.parked) == (0, None, 0.0) for task in after.values())
        assert connector.counts("q").leased == 0
        same = [payload for payload in said if payload in after and before_is(before, after[payload])]
        assert len(same) in (0, 8), "all or none"
        if same:
            assert again
            assert [task.payload for task in seen(connector)] == [task.payload for task in before]
            connector.push("q", [b"again"], priority=1, token="ids", ids=[f"{name}-3"])
        for token in (f"{name}-0", f"{name}-4"):
            push(connector, b"again", token=token)
        assert b"again" not in payloads(connector), "its token is known"
        connector.purge("q")
        if not again:
            break
    assert number > 8 and not again


def before_is(before: list[Any], task: Any) -> bool:
    """Whether a task stands as it stood: in its state, with its priority, at its time."""
    [old] = [one for one in before if one.payload == task.payload]
    return (old.state, old.priority) == (task.state, task.priority) and abs(old.due - task.due) < 60


# What is large, what is old


def test_what_does_not_fit_into_one_hand_is_changed_by_several(connector: MongoConnector) -> None:
    push(connector, *(b"%d" % n * (5 * MIB) for n in range(4)))
    push(connector, b"small")
    places = [task.place for task in seen(connector)]
    assert connector.steer("q", places[::-1], priority=2) == places[::-1]
    assert [task.payload[:1] for task in seen(connector)] == [b"s", b"3", b"2", b"1", b"0"]
    hands = connector._nodes[0]._consumers.count_documents({"hand": True})
    assert hands == 4


def test_a_look_ends_after_so_many_bytes_and_the_next_goes_on(
    connector: MongoConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("regiment_mongo.glance.LOOK_BYTES", 2 * MIB)
    push(connector, *(b"%d" % n * MIB for n in range(8)))
    glance = connector.look("q", "ready", holding=b"7")
    looks = 1
    while glance.after is not None:
        assert not glance.tasks
        glance, looks = connector.look("q", "ready", holding=b"7", after=glance.after), looks + 1
    assert [task.payload[:1] for task in glance.tasks] == [b"7"] and looks > 2


def test_tasks_that_have_one_turn_are_all_seen(connector: MongoConnector) -> None:
    """Pushes of tens of thousands may overlap; then places in the order are not all different."""
    push(connector, *(b"%02d" % n for n in range(40)))
    push(connector, *(b"d%02d" % n for n in range(40)), delay=600)
    tasks = connector._nodes[0]._tasks
    tasks.update_many({"q": "q", "s": {"$gte": 0}}, [{"$set": {"s": {"$subtract": ["$s", {"$mod": ["$s", 8]}]}}}])
    tasks.update_many({"q": "q", "at": {"$gte": 0}}, [{"$set": {"d": {"$subtract": ["$d", {"$mod": ["$d", 8]}]}}}])
    for state in ("ready", "delayed"):
        for limit in (1, 3, 8):
            found, after = list[bytes](), None
            while True:
                glance = connector.look("q", state, limit, after=after)  # type: ignore[arg-type]
                found += [task.payload for task in glance.tasks]
                if (after := glance.after) is None:
                    break
            assert len(found) == 40 and len(set(found)) == 40


def test_a_cursor_that_is_none_is_refused_in_words(connector: MongoConnector) -> None:
    with pytest.raises(ValueError, match="after is 'x'; expected what the last look at this queue answered"):
        connector.look("q", "ready", after="x")
    with pytest.raises(ValueError, match="state is 'dead'; expected ready, delayed or leased"):
        connector.look("q", "dead")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="after is 'x'; expected the id of an act"):
        connector.acts("q", after="x")


def test_notices_and_acts_end_with_their_time_and_acts_with_their_number(
    connector: MongoConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("regiment_mongo.board.MOST_ACTS", 5)
    connector.post("q", cancel=["old", "new"])
    node = connector._nodes[0]
    hour = {"$set": {"ex": {"$dateSubtract": {"startDate": "$$NOW", "unit": "hour", "amount": 1}}}}
    node._notices.update_one({"_id": "q old"}, [hour])
    assert connector.board("q").cancelled == {"new"}
    for n in range(9):
        connector.act("q", b"%d" % n, token=str(n))
    assert [act.entry for act in connector.acts("q")] == [b"8", b"7", b"6", b"5", b"4"]
    assert node._acts.count_documents({"q": "q"}) == 5
    node._acts.update_one({"_id": "q 8"}, [hour])
    assert [act.entry for act in connector.acts("q")] == [b"7", b"6", b"5", b"4"]


def test_a_board_that_is_full_says_so_in_words(connector: MongoConnector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regiment_mongo.board.MOST_NOTICES", 3)
    connector.post("q", cancel=["a", "b"])
    said = "2 more cancelled ids are too many for the board of 'q': 2 stand there, expected at most 3"
    with pytest.raises(Exception, match=said):
        connector.post("q", paused=True, cancel=["b", "c", "d"])
    assert connector.board("q").cancelled == {"a", "b"} and not connector.board("q").paused
    connector.post("q", cancel=["c", "d"], clear=["a"])


def test_looking_and_counting_ask_only_for_what_they_show(
    connector: MongoConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks for ten tasks is not sent thousands."""
    push(connector, *(b"%d" % n for n in range(1000)))
    sizes: list[int] = []
    waiting = Glances._waiting

    def counted(self: Any, queue: str, state: Any, after: Any, most: int) -> Any:
        sizes.append(most)
        return waiting(self, queue, state, after, most)

    monkeypatch.setattr(Glances, "_waiting", counted)
    connector.look("q", "ready", 10)
    assert sizes == [11]
