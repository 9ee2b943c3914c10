"""What the extra flow is on real servers: the scripts of before where there are no lanes, and processes that do not know of lanes."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))
from harness.recorded import PLAIN
from harness.servers import RedisServer, redis
from regiment.contracts import Back, Done, QueueFull, Role, Rule, Send, Terms, Ticket
from regiment.errors import StoreError
from regiment_redis.connector import RedisConnector
from regiment_redis.scripts import Script
from regiment_testing.contracts.bench import Consumer, push
from regiment_testing.contracts.charged import ACME, CRM, FAR, able, admit, fill, numbers, right, rule, worker

BEFORE = {name: PLAIN[name] for name in ("exchange", "release", "renew", "push", "join")}
"""SHA-1 of the scripts as they were when there was no flow."""
LEAVING = {
    "exchange": "3e0a79b234f462a16ca9019e610a64bd996ec7c7",
    "release": "1c94a38471290c0356fa8e1b961277bf1bca10cd",
    "renew": "5da5a6f340423a675c3f144b082c020d1bb66e8a",
    "apply": "a020b1fd8fbe843fefd2abc328fb598a5c80f2cf",
}
"""The same of those that leave something behind."""
PAGE = (Path(__file__).parents[2] / "docs/redis.md").read_text()


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis() as server:
        yield server


def opened(server: RedisServer, role: Role = "lease") -> RedisConnector:
    """A connector that does not know yet which queues have lanes."""
    connector = RedisConnector(server.url)
    connector.open(role)
    return connector


def keys(server: RedisServer, queue: str = "q") -> set[str]:
    """The keys of a queue, without its stem."""
    found = server.ask("KEYS", f"regiment:{{{queue}}}*")
    assert isinstance(found, list)
    return {key.decode().partition("}")[2] for key in found}


@pytest.mark.parametrize("name", BEFORE)
def test_a_verb_of_a_queue_without_lanes_runs_the_script_of_before(name: str) -> None:
    assert Script(name).sha == BEFORE[name]
    assert Script(name).twin.sha != BEFORE[name]


@pytest.mark.parametrize("name", LEAVING)
def test_a_verb_with_effects_and_without_lanes_runs_the_script_of_before(name: str) -> None:
    assert Script(name, effects=name != "apply").sha == LEAVING[name]


def test_a_queue_without_a_ticket_or_a_rule_has_the_keys_and_requests_of_before(server: RedisServer) -> None:
    other = opened(server)
    admit(other, b"elsewhere", queue="other")
    store = opened(server)
    push(store, "q", b"1", b"2")
    store.join("q", "w", Terms(slots=7))
    Consumer(store, "warm").exchange()
    server.ask("CONFIG", "RESETSTAT")
    taken = store.exchange("q", "w", 1, 1, [], 2, 1 << 20)
    store.exchange("q", "w", 2, 3, [Done(1, 2)], 2, 1 << 20)
    assert len(taken.deliveries) == 2
    told = server.ask("INFO", "commandstats")
    assert isinstance(told, bytes)
    assert int(re.findall(r"cmdstat_evalsha:calls=(\d+)", told.decode())[0]) == 2
    assert keys(server) == {"", ":batch:w", ":consumer:w", ":consumers", ":waiting"} | {
        key for key in keys(server) if key.startswith(":token:")
    }


def test_several_nodes_say_that_they_keep_no_flow(server: RedisServer) -> None:
    with redis() as other:
        spread = RedisConnector(nodes=[server.url, other.url])
        assert "flow" not in spread.extras() and spread.extras() == RedisConnector.capabilities.extras - {"flow"}
        with pytest.raises(StoreError, match="several nodes keep no lanes, rules and gates"):
            admit(spread, b"a")
    assert "flow" in RedisConnector(server.url).extras()


# Processes that do not know of lanes


def test_a_worker_that_was_there_before_the_first_ticket_goes_on(server: RedisServer) -> None:
    store, late = opened(server), opened(server)
    push(late, "q", *[b"%d" % n for n in range(6)])
    consumer = Consumer(late)
    assert consumer.payloads(2) == [b"0", b"1"]
    admit(store, b"a", b"b")
    rule(store, CRM, Rule(at_once=1))
    assert numbers(store, ("", "")) == [(6, 2)]
    assert sorted(d.payload for d in consumer.take(3, Done(1, 1), Back(2, 2))) == [b"1", b"2", b"a"]
    right(store)


def test_a_keeper_that_does_not_know_of_lanes_releases_what_is_counted(server: RedisServer) -> None:
    store = opened(server)
    fill(store, 3, "a", "b")
    consumer = worker(store)
    assert len(consumer.take(4)) == 4
    assert opened(server, "keep").renew([("q", consumer.name)], 30.0) == []
    opened(server, "keep").release("q", consumer.name, [(1, 1)], {}, close=True)
    assert numbers(store, CRM) == [(5, 0)]
    right(store)


def test_a_program_that_does_not_know_of_lanes_pushes_beside_them(server: RedisServer) -> None:
    store = opened(server)
    admit(store, b"a")
    for priority in (1, 3):
        push(opened(server, "push"), "q", b"%d" % priority, priority=priority)
    assert numbers(store, ("", "")) == [(3, 0)]
    assert sorted(worker(opened(server)).payloads()) == [b"1", b"3", b"a"]
    right(store)


def test_what_becomes_due_before_a_worker_has_learned_of_lanes_goes_to_its_lane(server: RedisServer) -> None:
    store = opened(server)
    rule(store, ACME, Rule(at_once=1))
    admit(store, b"a", b"b", delay=0.1)
    admit(store, b"k", delay=0.1, unique="key")
    late = Consumer(opened(server), terms=Terms(slots=9))
    time.sleep(0.2)
    assert late.payloads() == [b"a"]
    assert numbers(store) == [(2, 1)] * 3
    right(store)
    late.exchange(Done(1, 1), limit=0)
    found = [late.take(9, Done(n, n))[0].payload for n in (1, 2)]
    assert found == [b"b", b"k"]


def test_looks_of_programs_that_do_not_know_of_lanes_see_them(server: RedisServer) -> None:
    store = opened(server)
    fill(store, 3, "a", "b")
    worker(store).take(1)
    look = opened(server, "look")
    assert look.counts("q")[:3] == (5, 0, 1) and len(opened(server, "look").peek("q", "ready")) == 5
    assert len(opened(server, "look").look("q", "ready").tasks) == 5
    assert len(opened(server, "look").look("q", "leased").tasks) == 1
    [place] = [one.place for one in look.look("q", "ready", holding=b"b 000").tasks]
    assert list(opened(server, "look").steer("q", [place], drop=True)) == [place]
    assert opened(server, "look").purge("q") == 4
    right(store)


def test_a_task_with_a_ticket_is_sent_to_another_queue_which_has_lanes_from_then_on(server: RedisServer) -> None:
    store = opened(server)
    push(store, "q", b"1")
    consumer = Consumer(store)
    consumer.take()
    sends = [Send("r", [b"a", b"b"], tickets=[Ticket("crm", "x", "key"), Ticket("crm", "x", "key")])]
    consumer.exchange(Done(1, 1), limit=0, effects={1: sends})
    assert numbers(store, ("crm", "x")) == [(0, 0)]
    assert [s.waiting for s in able(store).flow("r", [("crm", "x")])] == [1]
    assert worker(store, queue="r").payloads() == [b"a"]


# Limits of a server


def test_a_full_server_refuses_what_comes_and_is_drained(server: RedisServer) -> None:
    store = opened(server)
    rule(store, CRM, Rule(at_once=50, lanes=Rule(at_once=20)))
    fill(store, 30, "a", "b", "c")
    consumer = worker(store)
    server.ask("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(QueueFull):
        admit(store, b"no")
    seen: list[bytes] = []
    while batch := consumer.take(7):
        seen += [one.payload for one in batch]
        consumer.exchange(Done(batch[0].receipt, batch[-1].receipt), limit=0)
    assert len(set(seen)) == 90
    server.ask("CONFIG", "SET", "maxmemory", "0")
    assert numbers(store) == [(0, 0)] * 3
    right(store)


def test_nothing_of_lanes_is_kept_when_all_is_done(server: RedisServer) -> None:
    store = opened(server)
    push(store, "q", b"plain")
    idle = {"", ":ready:x"}
    fill(store, 3, "a", "b", "c")
    admit(store, b"k", unique="key")
    admit(store, b"later", delay=0.05, to=("erp", "x"))
    consumer = worker(store)
    time.sleep(0.1)
    batch = consumer.take(100)
    assert len(batch) == 12
    consumer.exchange(Done(1, 12), limit=0)
    consumer.release([], {}, close=True)
    assert {key for key in keys(server) if not key.startswith((":token:", ":consumer:"))} == idle


def test_each_user_of_the_page_may_do_with_more_rights_what_lanes_ask_for(server: RedisServer) -> None:
    lines = {line.split()[2]: line for line in re.findall(r"^ACL SETUSER .*$", PAGE, re.MULTILINE)}
    more = dict(re.findall(r"^\| `(\w+)` \| lanes \| `(.*)` \|$", PAGE, re.MULTILINE))
    assert list(more) == ["producer", "client", "worker", "operator"]
    stores = {}
    for user, words in more.items():
        line = f"{lines[user]} {words}".replace("PASSWORD", "pass")
        assert server.ask(*line.split()) == "OK", line
        stores[user] = RedisConnector(f"redis://{user}:pass@127.0.0.1:{server.port}/0")
        stores[user].open({"operator": "look", "worker": "lease"}.get(user, "push"))  # type: ignore[arg-type]
    rule(stores["worker"], CRM, Rule(at_once=3, rate=(1000, 1.0), burst=100, lanes=Rule(at_once=2)))
    for user in ("producer", "client", "worker"):
        admit(stores[user], b"a", b"b", unique="key", clash="replace", ids=[f"{user}1", f"{user}2"])
        admit(stores[user], b"c", delay=FAR, to=("erp", "x"))
    consumer = worker(stores["worker"])
    assert consumer.payloads() == [b"b"]
    operator = stores["operator"]
    able(operator).gate("q", CRM, FAR)
    rule(operator, CRM, Rule(at_once=1), operator=True)
    assert numbers(operator) == [(3, 1), (0, 1), (0, 1)] and len(able(operator).standings("q")) == 3
    able(operator).gate("q", CRM, None)
    consumer.exchange(Done(1, 1), limit=0)
    operator.purge("q")
    right(operator)
    log = server.ask("ACL", "LOG")
    assert log == []
