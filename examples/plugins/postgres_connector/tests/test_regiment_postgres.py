"""What is PostgreSQL's own: servers that refuse, restart and stand still, requests that are interrupted, clients that stop."""

from __future__ import annotations

import os
import signal
import time
from itertools import count
from types import FrameType

import psycopg
import pytest
from postgres_server import Server
from regiment_postgres.connector import PostgresConnector

from regiment.contracts import Role, Terms
from regiment.errors import Fenced, QueueFull, StoreError, StoreUnavailable, TaskTimeout

_schemas = count()


@pytest.fixture
def schema() -> str:
    return f'own "{next(_schemas)}" %'


def opened(server: Server, schema: str, role: Role = "push", timeout: float = 5.0) -> PostgresConnector:
    connector = PostgresConnector(server.url, schema=schema, timeout=timeout)
    connector.open(role)
    return connector


def push(connector: PostgresConnector, *payloads: bytes, token: str) -> None:
    connector.push("q", payloads, priority=1, token=token)


def test_looking_makes_no_schema(server: Server, schema: str) -> None:
    look = opened(server, schema, "look")
    assert list(look.queues()) == []
    with psycopg.connect(server.url) as plain:
        found = plain.execute("SELECT FROM pg_namespace WHERE nspname = %s", [schema]).rowcount
    assert found == 0


def test_who_looks_changes_nothing(server: Server, schema: str) -> None:
    opened(server, schema)
    with pytest.raises(StoreError, match="was opened to look; it cannot be changed"):
        opened(server, schema, "look").purge("q")


def test_a_store_of_another_layout_is_refused_in_words(server: Server, schema: str) -> None:
    opened(server, schema)._link.ask("UPDATE layout SET version = 4")
    with pytest.raises(StoreError, match="has layout 4; expected 3: use a newer regiment-postgres"):
        opened(server, schema)


def test_a_database_that_is_not_there_ends_the_start_at_once(server: Server) -> None:
    connector = PostgresConnector(server.url.replace("/postgres?", "/nosuch?"))
    with pytest.raises(StoreError, match='database "nosuch" does not exist') as caught:
        connector.open("push")
    assert not isinstance(caught.value, StoreUnavailable)


def test_a_user_without_rights_is_refused_in_words(server: Server, schema: str) -> None:
    with psycopg.connect(server.url, autocommit=True) as plain:
        plain.execute("DROP ROLE IF EXISTS guest")
        plain.execute("CREATE ROLE guest LOGIN")
    connector = PostgresConnector(server.url.replace("postgres@", "guest@"), schema=schema)
    with pytest.raises(StoreError, match="permission denied for database") as caught:
        connector.open("push")
    assert not isinstance(caught.value, StoreUnavailable)


def test_no_password_is_shown() -> None:
    connector = PostgresConnector("postgresql://ada:secret@db1:5433/shop")
    assert connector.describe() == "postgresql://db1:5433/shop, schema regiment"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"url": "postgresql://ada:secret@db1:x:y/%zz"}, "url is no address of PostgreSQL"),
        ({"schema": ""}, "schema is ''; expected a name of at most 63 bytes"),
        ({"schema": "ü" * 40}, "expected a name of at most 63 bytes"),
        ({"timeout": 0}, "timeout is 0; expected a number of seconds from 0.1"),
    ],
)
def test_options_that_cannot_be_are_said_in_words(options: dict[str, object], problem: str) -> None:
    said = PostgresConnector.check(options)
    assert len(said) == 1 and problem in said[0]
    assert "secret" not in said[0]


def test_a_server_that_is_killed_loses_no_push_and_is_found_again(killed_server: Server, schema: str) -> None:
    connector = opened(killed_server, schema)
    push(connector, b"1", token="1")
    killed_server.kill()
    with pytest.raises(StoreUnavailable):
        push(connector, b"2", token="2")
    with pytest.raises(StoreUnavailable):
        connector.counts("q")
    killed_server.start()
    push(connector, b"2", token="2")
    push(connector, b"2", token="2")
    assert [task.payload for task in connector.peek("q", "ready")] == [b"1", b"2"]


def test_a_server_that_stands_still_is_given_up_in_time(server: Server, schema: str) -> None:
    connector = opened(server, schema, timeout=0.5)
    [(backend,)] = connector._link.ask("SELECT pg_backend_pid()")
    os.kill(backend, signal.SIGSTOP)
    try:
        start = time.monotonic()
        with pytest.raises(StoreUnavailable) as caught:
            push(connector, b"1", token="1")
        assert caught.value.maybe_pushed
        assert time.monotonic() - start < 10
        push(connector, b"1", token="1")  # another connection, while the first stands still
    finally:
        os.kill(backend, signal.SIGCONT)
    assert connector.counts("q").ready == 1


def test_a_client_that_stands_still_holds_nobody_up(server: Server, schema: str) -> None:
    """Wherever it stopped, it is between two requests, and those are whole steps."""
    push(opened(server, schema), *[b"x"] * 2000, token="1")
    child = os.fork()
    if child == 0:
        try:
            worker = opened(server, schema, "lease")
            worker.join("q", "slow", Terms())
            for turn in range(1, 2000):
                worker.exchange("q", "slow", turn, turn, [], 1, 1000)
        finally:
            os._exit(0)
    try:
        connector = opened(server, schema, "lease")
        connector.join("q", "other", Terms())
        while connector.counts("q").leased < 5:
            pass
        for turn in range(1, 21):
            os.kill(child, signal.SIGSTOP)
            assert connector.exchange("q", "other", turn, turn, [], 1, 1000).deliveries
            os.kill(child, signal.SIGCONT)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_request_that_was_interrupted_leaves_no_answer_for_the_next(server: Server, schema: str) -> None:
    """A time limit raises anywhere in a task, also while it pushes."""
    connector = opened(server, schema)

    def strike(number: int, frame: FrameType | None) -> None:
        raise TaskTimeout("late")

    before = signal.signal(signal.SIGALRM, strike)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(TaskTimeout):
            connector._link.ask("SELECT 'late' FROM pg_sleep(3)")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    push(connector, b"1", token="1")
    assert connector.counts("q").ready == 1


def test_a_disk_that_is_full_is_a_full_queue(server: Server, schema: str) -> None:
    """As the server says it (SQLSTATE 53100)."""
    connector = opened(server, schema)
    connector._link.ask(
        "CREATE FUNCTION full_() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'no space left' USING ERRCODE = '53100'; END $$"
    )
    connector._link.ask("CREATE TRIGGER full_ BEFORE INSERT ON task EXECUTE FUNCTION full_()")
    with pytest.raises(QueueFull, match="no space left"):
        push(connector, b"1", token="1")
    connector._link.ask("DROP TRIGGER full_ ON task")
    push(connector, b"1", token="1")
    assert connector.counts("q").ready == 1


def test_what_a_text_of_postgresql_cannot_hold_is_kept_as_far_as_it_can(server: Server, schema: str) -> None:
    connector = opened(server, schema)
    connector.post("q", cancel=["a\0b", "\ud800"])
    assert connector.board("q").cancelled == {"a\ufffdb", "?"}


def test_a_server_without_fsync_is_warned_of(server: Server, schema: str) -> None:
    assert opened(server, schema).warnings() == [
        "fsync is off: what was pushed may be lost when the server's machine stops"
    ]


def test_a_fenced_consumer_does_not_sleep(server: Server, schema: str) -> None:
    """It is told at once, by its next exchange."""
    connector = opened(server, schema, "lease")
    connector.join("q", "c", Terms())
    assert not connector.exchange("q", "c", 1, 1, [], 1, 1000).deliveries
    opened(server, schema, "keep").release("q", "c", [], {}, close=True)
    assert list(connector.wait([("q", "c")], 20)) == ["q"]
    with pytest.raises(Fenced, match='consumer c of "q" is closed'):
        connector.exchange("q", "c", 2, 1, [], 1, 1000)
