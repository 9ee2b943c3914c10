"""What is PostgreSQL's own in steering: what ages, what is refused in words, and who waits for whom."""

from __future__ import annotations

from itertools import count
from typing import Any

import psycopg
import pytest
from postgres_server import Server
from regiment_postgres import steering
from regiment_postgres.connector import PostgresConnector

from regiment.contracts import Role, Terms
from regiment.errors import StoreError

_schemas = count()


@pytest.fixture
def schema() -> str:
    return f'hand "{next(_schemas)}" %'


def opened(server: Server, schema: str, role: Role = "push") -> PostgresConnector:
    connector = PostgresConnector(server.url, schema=schema)
    connector.open(role)
    return connector


def test_notices_and_acts_end_with_their_time_and_acts_with_their_number(
    server: Server, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steering, "MOST_ACTS", 5)
    connector = opened(server, schema)
    connector.post("q", cancel=["old", "new"])
    connector._link.ask("UPDATE notice SET until = until - 31 * 86400 WHERE id = 'old'")
    assert connector.board("q").cancelled == {"new"}
    connector.post("q", cancel=["newer"])
    assert connector._link.ask("SELECT id FROM notice ORDER BY id") == [("new",), ("newer",)]
    for n in range(9):
        connector.act("q", b"%d" % n, token=str(n))
    assert [act.entry for act in connector.acts("q")] == [b"8", b"7", b"6", b"5", b"4"]
    connector._link.ask("UPDATE act SET at = at - 91 * 86400 WHERE entry = '7'")
    assert [act.entry for act in connector.acts("q")] == [b"8", b"6", b"5", b"4"]
    connector.act("q", b"9", token="9")
    assert connector._link.ask("SELECT count(*) FROM act") == [(5,)]


def test_a_board_that_is_full_says_so(server: Server, schema: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steering, "MOST_NOTICES", 2)
    connector = opened(server, schema)
    connector.post("q", cancel=["a", "b"])
    with pytest.raises(StoreError, match='the board of "q" would have 3 cancelled ids; expected at most 2'):
        connector.post("q", cancel=["c"])


@pytest.mark.parametrize(
    ("verb", "said"),
    [
        (lambda c: c.look("q", "dead"), "state is 'dead'; expected one of ready, delayed, leased"),
        (lambda c: c.look("q", "ready", after="x"), "after is 'x'; expected what the last look"),
        (lambda c: c.acts("q", after="x"), "after is 'x'; expected the id of an act"),
        (lambda c: c.act("q", b"x" * 5000, token="t"), "an act has 5,000 bytes; expected at most 4,096"),
        (lambda c: c.steer("q", []), "expected drop, or what to change"),
    ],
)
def test_what_cannot_be_is_said_in_words(server: Server, schema: str, verb: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        verb(opened(server, schema))


def test_a_hand_on_a_thousand_tasks_lets_a_worker_in_between_its_steps(server: Server, schema: str) -> None:
    """As locks have it: each step of 500 is a transaction of its own, and a worker waits for one at most."""
    connector, worker = opened(server, schema), opened(server, schema, "lease")
    connector.push("q", [b"%d" % n for n in range(1500)], priority=1, token="t")
    worker.join("q", "c", Terms())
    places = [task.place for task in connector.look("q", "ready", 1500).tasks]
    steps: list[int] = []
    change = connector._change

    def between(sql: str, **values: Any) -> Any:
        found = change(sql, **values)
        steps.append(len(worker.exchange("q", "c", len(steps) + 1, len(steps) + 1, [], 1, 1000).deliveries))
        return found

    connector._change = between  # type: ignore[method-assign]
    done = connector.steer("q", places, priority=5)
    assert steps == [1, 1, 1] and len(done) == 1498, "the worker had one of the second and one of the third step"


def test_a_walk_uses_an_index(server: Server, schema: str) -> None:
    connector = opened(server, schema)
    connector.push("q", [b"%d" % n for n in range(300)], priority=1, token="t")
    with psycopg.connect(server.url, autocommit=True) as plain:
        name = '"' + schema.replace('"', '""') + '"'
        plain.execute(f"SET search_path TO {name}".encode())
        plain.execute(b"SET enable_seqscan = off; SET enable_bitmapscan = off")
        for state, index in (("ready", "task_ready"), ("delayed", "task_due"), ("leased", "task_held")):
            these, order, behind = steering.WALKS[state]
            sql = steering.LOOK.format(these=these, order=order, behind=f"AND ({order}) > ({behind})")
            values = {"queue": "q", "first": "1", "second": "1", "holding": b"x", "limit": 10, "most": 100}
            plan = "\n".join(line for (line,) in psycopg.ClientCursor(plain).execute(f"EXPLAIN {sql}".encode(), values))
            assert f"using {index}" in plan and "Sort Key: task" not in plan, plan
