"""What is PostgreSQL's own in effects: locks of several queues, servers that are killed, notifications, what is swept."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import psycopg
import pytest
from postgres_server import Server
from regiment_postgres.connector import PostgresConnector
from regiment_postgres.sleep import channel

from regiment.contracts import Arrive, Done, Drop, Effect, Join, Keep, Role, Send, Shut, StoreUnavailable, Terms
from regiment.errors import StoreError

_schemas, _tokens = count(), count()


@pytest.fixture
def schema() -> str:
    return f'left "{next(_schemas)}" %'


def opened(server: Server, schema: str, role: Role = "push") -> PostgresConnector:
    connector = PostgresConnector(server.url, schema=schema)
    connector.open(role)
    return connector


def apply(connector: PostgresConnector, queue: str, *effects: Effect) -> int:
    """The version of what it kept."""
    return connector.apply(queue, effects, token=str(next(_tokens))).version


def rows(connector: PostgresConnector, table: str) -> int:
    [(number,)] = connector._link.ask(f"SELECT count(*) FROM {table}")
    return int(number)


def test_an_exchange_without_effects_says_nothing_of_them(server: Server, schema: str) -> None:
    """As the server has it, which keeps the text of a request that comes often."""
    connector = opened(server, schema, "lease")
    connector.join("q", "c", Terms())
    for turn in range(1, 9):
        connector.exchange("q", "c", turn, 1, [], 1, 1000)
        connector.release("q", "c", [], {}, only=(0, 0))
    kept = [text for (text,) in connector._link.ask("SELECT statement FROM pg_prepared_statements")]
    for verb, parameters in (("exchange(", 15), ("release(", 9)):
        [text] = [text for text in kept if verb in text]
        assert f"${parameters})" in text.replace("::bool", "") and f"${parameters + 1}" not in text


def test_steps_of_several_queues_never_wait_for_each_other(server: Server, schema: str) -> None:
    """Each in an order of its own, with joins that name more queues when they are complete, and a keeper of all of them."""
    names = ["a", "b", "c"]
    works: list[Callable[[], None]] = []

    def sends(start: int) -> None:
        connector, order = opened(server, schema), names[start:] + names[:start]
        for _ in range(60):
            apply(connector, order[0], *[Send(queue, [b"x"]) for queue in order], Keep("k", b"v", 60, queue=order[2]))

    def joins(start: int) -> None:
        connector, order = opened(server, schema), names[start:] + names[:start]
        for n in range(60):
            then = [Send(queue, [b"x"]) for queue in order[1:]]
            name = f"{start} {n}"
            apply(connector, order[0], Join(order[0], name, 1, then, 60), Arrive(order[0], name, 0))

    def renews() -> None:
        connector = opened(server, schema, "keep")
        for name in names:
            connector.join(name, "c", Terms())
        for _ in range(100):
            assert not connector.renew([(name, "c") for name in reversed(names)], 60)

    for start in range(3):
        works += [lambda start=start: sends(start), lambda start=start: joins(start)]  # type: ignore[misc]
    opened(server, schema)
    with ThreadPoolExecutor() as pool:
        for one in [pool.submit(work) for work in [*works, renews]]:
            one.result()  # a deadlock is StoreUnavailable here
    look = opened(server, schema, "look")
    assert [look.counts(name).ready for name in names] == [180 + 120] * 3


def test_five_hundred_joins_complete_each_other_in_one_step(server: Server, schema: str) -> None:
    connector = opened(server, schema)
    chain = [Join("q", str(n), 1, [Arrive("q", str(n + 1), 0)], 60) for n in range(500)]
    apply(connector, "q", *chain, Join("q", "500", 1, [Keep("k", b"v", 60)], 60))
    apply(connector, "q", Arrive("q", "0", 0))
    assert [found and found.value for found in connector.records("q", ["k"])] == [b"v"]


def test_who_follows_hears_of_it_after_the_server_was_killed(killed_server: Server, schema: str) -> None:
    """A registration is on disk before `follow` returns, and so is a mark with what was applied."""
    follower, producer = opened(killed_server, schema, "follow"), opened(killed_server, schema)
    assert follower.follow({("q", "before"): 0, ("q", "after"): 0}) == {}
    apply(producer, "q", Keep("before", b"v", 60))
    killed_server.kill()
    killed_server.start()
    with pytest.raises(StoreUnavailable):
        follower.heard(20)
    producer = opened(killed_server, schema)
    apply(producer, "q", Keep("after", b"v", 60))
    assert set(follower.heard(20) or {}) == {("q", "before"), ("q", "after")}
    assert follower.heard(0) == {}


def test_a_version_does_not_come_back_though_the_server_has_forgotten_it(killed_server: Server, schema: str) -> None:
    """What is settled may be forgotten by a server that is killed; who has seen its version takes nothing else for it."""
    worker = opened(killed_server, schema, "lease")
    worker.push("q", [b"task"] * 2, priority=1, token="1")
    worker.join("q", "c", Terms())
    worker.exchange("q", "c", 1, 1, [], 2, 1000)
    worker.exchange("q", "c", 2, 3, [Done(1, 1)], 0, 0, effects={1: [Keep("k", b"v", 60)]})
    [seen] = worker.records("q", ["k"])
    killed_server.kill()
    killed_server.start()
    assert seen is not None
    assert apply(opened(killed_server, schema), "q", Keep("k", b"other", 60)) > seen.version


def test_only_what_is_followed_notifies(server: Server, schema: str) -> None:
    """A transaction that notifies commits alone."""
    follower, producer = opened(server, schema, "follow"), opened(server, schema)
    follower.follow({("q", "followed"): 1})
    with psycopg.connect(server.url, autocommit=True) as plain:
        plain.execute(f"LISTEN {channel(follower._link, 'follower', follower._me)}".encode())
        for key, rank in (("other", 1), ("followed", 0), ("followed", 1), ("followed", 2)):
            apply(producer, "q", Keep(key, b"v", 60, rank))
        assert len(list(plain.notifies(timeout=0.3))) == 1, "the mark is there: no second call"
    assert set(follower.heard(20) or {}) == {("q", "followed")}


def test_what_has_had_its_time_is_swept_by_those_who_come_later(server: Server, schema: str) -> None:
    connector, follower = opened(server, schema), opened(server, schema, "follow")
    follower.follow({("q", str(n)): 0 for n in range(50)}, 1)
    apply(connector, "q", *[Keep(f"k{n}", b"v", 60) for n in range(50)], *[Shut("q", str(n), 60) for n in range(50)])
    assert (rows(connector, "kept"), rows(connector, "tally"), rows(connector, "follows")) == (50, 50, 50)
    for table in ("kept", "tally", "applied"):
        connector._link.ask(f"UPDATE {table} SET until = until - 3600")
    connector._link.ask("UPDATE follows SET until = until - 3600")
    apply(connector, "q", Keep("last", b"v", 60), Shut("q", "last"))
    follower.follow({("q", "other"): 0})
    assert [rows(connector, table) for table in ("kept", "tally", "applied", "follows")] == [1, 1, 1, 1]


def test_keys_and_ids_that_a_text_of_postgresql_cannot_hold_are_kept_as_far_as_it_can(
    server: Server, schema: str
) -> None:
    connector = opened(server, schema)
    apply(connector, "q", Keep("a\0b", b"v", 60), Send("q", [b"x"], ids=["\ud800"]), Shut("q", "c\0d"))
    assert [found and found.value for found in connector.records("q", ["a\0b"])] == [b"v"]
    assert connector.tallies("q", ["c\0d"])[0] is not None
    apply(connector, "q", Drop(["a\0b"]))
    assert list(connector.records("q", ["a\0b"])) == [None]


def test_a_key_that_no_index_can_hold_is_refused_and_not_tried_for_ever(server: Server, schema: str) -> None:
    key = "".join(map(chr, range(0x4E00, 0x4E00 + 5000)))
    with pytest.raises(StoreError, match="index row") as caught:
        apply(opened(server, schema), "q", Keep(key, b"v", 60))
    assert not isinstance(caught.value, StoreUnavailable)


def test_a_store_that_is_not_there_yet_has_nothing(server: Server, schema: str) -> None:
    look = opened(server, schema, "look")
    assert list(look.records("q", ["k", "l"])) == list(look.tallies("q", ["k", "l"])) == [None, None]
    assert list(look.listed("q")) == []


def test_a_join_that_is_too_large_is_refused_in_words(server: Server, schema: str) -> None:
    with pytest.raises(ValueError, match="a join of 4,097 members; expected 0 to 4,096"):
        apply(opened(server, schema), "q", Join("q", "j", 4097, [], 60))
