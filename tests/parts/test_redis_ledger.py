"""Entries on Redis stand in the task itself: no script of before changes for them, and an id of the task's own lives on beside them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))
from harness.recorded import PLAIN
from harness.servers import RedisServer, redis
from regiment.contracts import LARGEST_LEDGER, Again, Back, Dead, Done, Park, Terms
from regiment.errors import StoreError, StoreUnavailable
from regiment_redis.connector import RedisConnector
from regiment_redis.scripts import Script
from regiment_testing.contracts.bench import Consumer, push, until
from regiment_testing.contracts.hand import steer

MIB = 1 << 20
CHARGED = {"charge": b"receipt 7", "é\n": b"\x00\xff"}
BEFORE = {
    name: PLAIN[name]
    for name in (
        "exchange",
        "release",
        "renew",
        "push",
        "join",
        "revive",
        "steer",
        "purge",
        "drop",
        "letters",
        "peek",
        "look_ready",
        "look_leased",
        "aside",
        "back",
    )
}
"""SHA-1 of the scripts that meet tasks with entries, as they were when there were none."""


@pytest.fixture
def server(redis_release: str) -> Iterator[RedisServer]:
    with redis() as server:
        yield server


def opened(server: RedisServer, **options: object) -> RedisConnector:
    connector = RedisConnector(server.url, **options)  # type: ignore[arg-type]
    connector.open("lease")
    return connector


def has_lanes(server: RedisServer) -> bool:
    """True if the queue q has lanes."""
    return server.ask("HEXISTS", "regiment:{q}", "flow") == 1


def next_receipt(worker: Consumer) -> int:
    """The receipt of the one task that comes next."""
    [delivery] = until(lambda: worker.take())
    return delivery.receipt


def enter(worker: Consumer, receipt: int, entries: dict[str, bytes]) -> object:
    return worker.connector.enter("q", worker.name, receipt, entries)  # type: ignore[attr-defined]


def entered(worker: Consumer, receipt: int) -> object:
    return enter(worker, receipt, {})


@pytest.mark.parametrize("name", BEFORE)
def test_a_verb_that_meets_entries_runs_the_script_of_before(name: str) -> None:
    assert Script(name).sha == BEFORE[name]


def test_a_delivery_with_entries_is_settled_by_the_bytes_of_one_without(server: RedisServer) -> None:
    store = opened(server)
    push(store, "q", b"1", b"2")
    store.join("q", "w", Terms())
    store.exchange("q", "w", 1, 1, [], 1, MIB)
    sent: list[bytes] = []
    wire = store._store.root.ready()  # type: ignore[union-attr]
    real = wire.ask
    wire.ask = lambda command: sent.append(command) or real(command)  # type: ignore[method-assign,func-returns-value]
    store.exchange("q", "w", 2, 2, [Done(1, 1)], 1, MIB)
    assert store.enter("q", "w", 2, CHARGED) == CHARGED
    del sent[1:]
    store.exchange("q", "w", 3, 2, [Done(2, 2)], 1, MIB)
    assert len(sent) == 2 and sent[0].replace(b"$1\r\n2\r\n", b"$1\r\nX\r\n") == sent[1].replace(
        b"$1\r\n3\r\n", b"$1\r\nX\r\n", 1
    ).replace(b"$1\r\n2\r\n", b"$1\r\nX\r\n").replace(b"D\r\n$1\r\nX\r\n$1\r\nX", b"D\r\n$1\r\n1\r\n$1\r\n1")
    assert not has_lanes(server) and store.counts("q").leased == 0


def test_one_script_enters_and_another_reads(server: RedisServer) -> None:
    worker = Consumer(opened(server))
    push(worker.connector, "q", b"1")
    worker.take()
    entered(worker, 1)  # loads the script
    server.ask("CONFIG", "RESETSTAT")
    assert enter(worker, 1, CHARGED) == CHARGED == entered(worker, 1)
    told = server.ask("INFO", "commandstats")
    assert isinstance(told, bytes) and b"cmdstat_evalsha:calls=2," in told


def test_an_id_is_taken_while_a_task_with_entries_lives_and_free_when_it_is_over(server: RedisServer) -> None:
    store = opened(server)
    worker = Consumer(store, terms=Terms(id_window=0.0))

    def is_taken() -> bool:
        return list(store.push("q", [b"other"], priority=9, token=f"{next(tokens)}", ids=["id"], id_window=0.0)) == [0]

    tokens = iter(range(1000))
    for end in ("done", "released", "purged", "dropped", "steered"):
        store.push("q", [b"a"], priority=1, token=f"new {end}", ids=["id"], id_window=0.0)
        receipt = next_receipt(worker)
        assert enter(worker, receipt, CHARGED) == CHARGED and is_taken()
        for settlement in (Back, lambda first, _: Again(first, b"b", 0.01), lambda first, _: Park(first, 0.01)):
            worker.exchange(settlement(receipt, receipt), limit=0)
            receipt = next_receipt(worker)
            assert entered(worker, receipt) == CHARGED and is_taken()
        if end == "dropped":
            worker.exchange(Dead(receipt, "t", b"{}"), limit=0)
            store.revive("q", {store.dead("q")[0].id: b"a"})
            receipt = next_receipt(worker)
            assert entered(worker, receipt) == CHARGED and is_taken()
            worker.exchange(Dead(receipt, "t", b"{}"), limit=0)
            store.drop("q")
        elif end == "done":
            worker.exchange(Done(receipt, receipt), limit=0)
        elif end == "released":
            worker.release([(receipt, receipt)], {})
        else:
            worker.exchange(Back(receipt, receipt), limit=0)
            if end == "purged":
                store.purge("q")
            else:
                steer(store, b"b", drop=True)
        assert not is_taken(), end
        store.purge("q")
    assert has_lanes(server) and server.ask("EXISTS", "regiment:{q}:live") == 0


def test_a_task_without_an_id_of_its_own_gives_no_lanes_and_leaves_nothing(server: RedisServer) -> None:
    worker = Consumer(opened(server))
    push(worker.connector, "q", b"a")
    assert enter(worker, next_receipt(worker), CHARGED) == CHARGED
    for receipt in (1, 2):
        worker.exchange(Dead(receipt, "t", b"{}"), limit=0)
        [letter] = worker.connector.dead("q")
        worker.connector.revive("q", {letter.id: None})
        assert enter(worker, next_receipt(worker), {"n": b"%d" % receipt}) == {**CHARGED, "n": b"%d" % receipt}
    worker.exchange(Done(3, 3), limit=0)
    assert not has_lanes(server)
    assert server.ask("EXISTS", "regiment:{q}:live", f"regiment:{{q}}:named:{worker.name}") == 0
    assert server.ask("HEXISTS", "regiment:{q}", "ids") == 0


def test_entries_stay_when_their_queue_gets_lanes(server: RedisServer) -> None:
    """Another task of it, with an id, has entries too: one is leased then, one waits, one was revived."""
    store = opened(server)
    worker, other = Consumer(store), Consumer(opened(server))
    push(store, "q", b"held", b"waits", b"revived")
    for receipt in (1, 2, 3):
        assert next_receipt(worker) == receipt
        enter(worker, receipt, {"n": b"%d" % receipt})
    worker.exchange(Back(2, 2), Dead(3, "t", b"{}"), limit=0)
    store.revive("q", {store.dead("q")[0].id: None})
    push(store, "q", b"named", ids=["id"])
    found = other.take(3)
    assert enter(other, found[2].receipt, CHARGED) == CHARGED and has_lanes(server)
    assert entered(worker, 1) == {"n": b"1"}
    assert [entered(other, one.receipt) for one in found] == [{"n": b"2"}, {"n": b"3"}, CHARGED]
    assert enter(other, found[1].receipt, {"m": b""}) == {"n": b"3", "m": b""}
    other.exchange(Done(1, 3), limit=0)
    worker.exchange(Done(1, 1), limit=0)
    assert store.counts("q").leased == 0 and server.ask("EXISTS", "regiment:{q}:live") == 0


def test_a_full_server_takes_entries(server: RedisServer) -> None:
    worker = Consumer(opened(server))
    push(worker.connector, "q", b"a")
    receipt = next_receipt(worker)
    server.ask("CONFIG", "SET", "maxmemory", "1mb")
    assert enter(worker, receipt, {"large": bytes(LARGEST_LEDGER - 5)}) is not None
    worker.exchange(Done(receipt, receipt), limit=0)


def test_of_several_nodes_the_one_of_the_delivery_has_the_entries(redis_release: str) -> None:
    with redis() as one, redis() as two:
        store = RedisConnector(nodes=[one.url, two.url], connect_timeout=0.3)
        store.open("lease")
        worker = Consumer(store)
        for server in (one, two):
            push(opened(server), "q", b"1", b"2")
        receipts = [delivery.receipt for delivery in worker.take(4)]
        assert len(receipts) == 4
        for receipt in receipts:
            assert enter(worker, receipt, {"n": b"%d" % receipt}) == {"n": b"%d" % receipt}
        assert all(entered(worker, receipt) == {"n": b"%d" % receipt} for receipt in receipts)
        assert entered(worker, 99) is None
        two.kill()
        told = []
        for receipt in receipts:
            try:
                told.append(entered(worker, receipt))
            except StoreUnavailable:
                told.append("away")
        assert None not in told and "away" in told and len(set(map(str, told))) > 1, "who is away may hold it"
        store.close()


def test_an_id_that_leaves_no_room_for_entries_is_told(server: RedisServer) -> None:
    worker = Consumer(opened(server))
    push(worker.connector, "q", b"a", ids=["i" * 60_000])
    receipt = next_receipt(worker)
    with pytest.raises(StoreError, match="the id of the task and its entries have more than 65,535 bytes"):
        enter(worker, receipt, {"a": bytes(LARGEST_LEDGER - 1)})
    assert entered(worker, receipt) == {}
