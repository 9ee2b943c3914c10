"""The outbox of SQLAlchemy: a push is a row of the caller's transaction, and comes to its queue exactly once, in order."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Integer, create_engine, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session, declarative_base

from harness.wait import eventually
from regiment import ArgumentsError, ConfigError, Queue
from regiment_limits import Limits
from regiment_results import Results, handle
from regiment_sqlalchemy import Outbox, aenqueue, aenqueue_many, enqueue, enqueue_many, metadata, outbox
from regiment_testing import capture
from transactions.conftest import ready, relay_of

Base = declarative_base()


class Order(Base):  # type: ignore[misc, valid-type]
    __tablename__ = "orders"
    id = Column(Integer, primary_key=True)


def ship(order: int, note: str = "") -> None: ...


@pytest.fixture
def engine(url: str) -> Iterator[Any]:
    found = create_engine(url)
    Base.metadata.drop_all(found)
    Base.metadata.create_all(found)
    yield found
    found.dispose()


@pytest.fixture
def parcels(url: str, tmp_path: Path) -> Iterator[Queue]:
    queue = Queue("parcels", connector=f"sqlite:///{tmp_path}/queue.db", plugins=[Results(ttl=60), Outbox(url=url)])
    queue.task(ship)
    yield queue
    queue.broker.close()


def rows(engine: Any) -> int:
    with engine.connect() as connection:
        return int(connection.scalar(select(func.count()).select_from(outbox)))


def test_a_push_is_a_row_of_the_session_s_transaction_and_comes_with_all_that_belongs_to_it(
    engine: Any, url: str, parcels: Queue
) -> None:
    task, relay = parcels.tasks["ship"], relay_of(url, parcels)
    with pytest.raises(LookupError), Session(engine) as session, session.begin():
        session.add(Order(id=1))
        enqueue(session, task, order=1)
        raise LookupError
    assert rows(engine) == 0
    with Session(engine) as session, session.begin():
        session.add(Order(id=2))
        told = enqueue(session, task, order=2)
        with pytest.raises(LookupError), session.begin_nested():
            enqueue(session, task, order=3)
            raise LookupError
        enqueue(session, task.options(delay=60, priority="HIGH"), order=4)
    with engine.begin() as connection:
        assert enqueue_many(connection, task, ({"order": number} for number in range(5, 1505))) == 1500
    assert rows(engine) == 1502 and ready(parcels) == []
    while relay.look(0.0) == 0.0:
        pass
    assert rows(engine) == 0
    assert [one["order"] for one in ready(parcels)] == [2, *range(5, 1505)]
    look = parcels.broker.open("look")
    assert look.counts("parcels").delayed == 1
    look.close()
    assert handle(parcels, told.id).state() == "waiting", "what a plugin adds to a push comes with it"


def test_an_id_of_one_s_own_is_pushed_once_however_many_rows_name_it(engine: Any, url: str, parcels: Queue) -> None:
    for _ in range(2):
        with engine.begin() as connection:
            told = enqueue(connection, parcels.tasks["ship"].options(id="order-7"), order=7)
            assert told.id == "order-7"
        relay_of(url, parcels).look(0.0)
    assert rows(engine) == 0 and len(ready(parcels)) == 1


def test_sessions_and_connections_of_asyncio_write_the_same_rows(tmp_path: Path) -> None:
    async def run() -> None:
        engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/shop.db")
        async with engine.begin() as connection:
            await connection.run_sync(metadata.create_all)
            await aenqueue(connection, queue.tasks["ship"], order=1)
        async with AsyncSession(engine) as session:
            await aenqueue(session, queue.tasks["ship"], order=2)
            await session.rollback()
            await aenqueue_many(session, queue.tasks["ship"], [{"order": 3}, {"order": 4}])
            await session.commit()
            with pytest.raises(ArgumentsError, match="expected await aenqueue"):
                enqueue(session, queue.tasks["ship"], order=5)
        await engine.dispose()

    url = f"sqlite:///{tmp_path}/shop.db"
    queue = Queue("parcels", connector=f"sqlite:///{tmp_path}/queue.db", plugins=[Outbox(url=url)])
    queue.task(ship)
    asyncio.run(run())
    relay_of(url, queue).look(0.0)
    assert [one["order"] for one in ready(queue)] == [1, 3, 4]
    queue.broker.close()


def test_a_row_that_its_store_refuses_is_kept_with_the_reason_and_the_others_go_on(
    engine: Any, url: str, parcels: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    with engine.begin() as connection:
        enqueue_many(connection, parcels.tasks["ship"], [{"order": 1}, {"order": 2}, {"order": 3}])
        connection.execute(
            text("UPDATE regiment_outbox SET effects = '[1]' WHERE id = (SELECT MIN(id) + 1 FROM regiment_outbox)")
        )
    relay = relay_of(url, parcels)
    relay.look(0.0)
    assert [one["order"] for one in ready(parcels)] == [1, 3]
    with engine.connect() as connection:
        (reason,) = connection.scalars(select(outbox.c.reason))
    assert reason.startswith("TypeError: ")
    assert relay.look(0.0) > 0, "nobody tries it again and again"


def test_a_row_whose_payload_is_no_bytes_is_refused_alone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/shop.db"  # the one database that has text in a column of bytes
    engine = create_engine(url)
    metadata.create_all(engine)
    queue = Queue("parcels", connector=f"sqlite:///{tmp_path}/queue.db", plugins=[Outbox(url=url)])
    queue.task(ship)
    with engine.begin() as connection:
        enqueue_many(connection, queue.tasks["ship"], [{"order": 1}, {"order": 2}])
        connection.execute(text("UPDATE regiment_outbox SET payload = 'text' WHERE id = 1"))
    relay_of(url, queue).look(0.0)
    assert [one["order"] for one in ready(queue)] == [2]
    assert rows(engine) == 1


def test_relays_share_queues_and_none_overtakes_another_within_a_queue(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    folder = request.getfixturevalue("server").folder
    url = f"postgresql+psycopg://postgres@/postgres?host={folder}"
    engine = create_engine(url)
    metadata.drop_all(engine)
    metadata.create_all(engine)
    queues = []
    for name in ("one", "two"):
        queue = Queue(name, connector=f"sqlite:///{tmp_path}/queue.db", plugins=[Outbox(url=url)])
        queue.task(ship)
        queues.append(queue)
    for first in range(0, 3000, 100):
        with engine.begin() as connection:
            for queue in queues:
                enqueue_many(connection, queue.tasks["ship"], ({"order": first + step} for step in range(100)))
    ends = []

    def run() -> None:
        relay = relay_of(url, *queues)
        while rows(engine):
            relay.look(0.0)
            time.sleep(0.001)
        ends.append(True)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(ends) == 3
    for queue in queues:
        assert [one["order"] for one in ready(queue)] == list(range(3000))
        queue.broker.close()
    engine.dispose()


def test_a_database_that_is_away_is_waited_for(url: str, parcels: Queue, tmp_path: Path) -> None:
    away = relay_of("postgresql+psycopg://nobody@127.0.0.1:1/none", parcels)
    pauses = [away.look(0.0) for _ in range(6)]
    assert pauses == sorted(pauses) and pauses[0] > 0 and pauses[-1] == 2.0


def test_what_cannot_be_part_of_a_transaction_is_refused_in_words(engine: Any, url: str, parcels: Queue) -> None:
    task = parcels.tasks["ship"]
    with engine.begin() as connection:
        with pytest.raises(ArgumentsError, match="needs order"):
            enqueue(connection, task)
        with pytest.raises(ArgumentsError, match=r"enqueue got .*; expected a task function"):
            enqueue(connection, ship, order=1)
        plain = Queue("plain")
        plain.task(ship)
        with pytest.raises(ArgumentsError, match='the queue "plain" names no outbox'):
            enqueue(connection, plain.tasks["ship"], order=1)
        lanes = Queue("lanes", connector=parcels.config.connector, plugins=[Limits(), Outbox(url=url)])
        lanes.task(ship)
        with pytest.raises(
            ArgumentsError, match="a pool, a lane or a unique key, which an outbox cannot carry; push it after"
        ):
            enqueue(connection, lanes.tasks["ship"].options(lane="ada"), order=1)
    with pytest.raises(ArgumentsError, match=r"expected with engine.begin\(\) as connection"):
        enqueue(engine, task, order=1)
    with (
        engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection,
        pytest.raises(ArgumentsError, match="commits each statement by itself"),
    ):
        enqueue(connection, task, order=1)
    assert rows(engine) == 0


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (7, "url is 7; expected a URL of SQLAlchemy"),
        ("nothing", "which SQLAlchemy does not take"),
        ("sqlite+aiosqlite:///shop.db", "the async driver aiosqlite; the relay has no event loop"),
        ("sqlite://", "an SQLite database in memory, which no other process sees"),
    ],
)
def test_a_url_that_no_relay_can_use_is_refused_when_the_queue_is_made(url: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Outbox(url=url)


def test_a_capture_has_the_task_at_once_and_writes_no_row(engine: Any, parcels: Queue) -> None:
    with capture(parcels) as queue, Session(engine) as session, session.begin():
        enqueue(session, parcels.tasks["ship"], order=1)
        assert len(queue.pushed) == 1
    assert rows(engine) == 0


APPLICATION = """
from pathlib import Path
from regiment import Queue
from regiment_sqlalchemy import Outbox
parcels = Queue("parcels", connector="sqlite:///queue.db", plugins=[Outbox(url="sqlite:///shop.db")])
apart = Queue("apart", connector="sqlite:///queue.db", plugins=[Outbox()])
plain = Queue("plain")
@parcels.task
def ship(order: int) -> None:
    print("shipped", order, flush=True)
@parcels.task
def twice(order: int) -> None:
    from sqlalchemy import create_engine
    from regiment_sqlalchemy import enqueue
    with create_engine("sqlite:///shop.db").begin() as connection:
        enqueue(connection, ship, order=order + 1)
@apart.task
def later(order: int) -> None: ...
@plain.task
def nothing() -> None: ...
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An application with its database in a folder, and what runs `regiment` there."""
    (tmp_path / "shop_parcels.py").write_text(APPLICATION)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    engine = create_engine("sqlite:///shop.db")
    metadata.create_all(engine)

    def regiment(*words: str, code: int = 0) -> str:
        told = subprocess.run(
            [sys.executable, "-m", "regiment", *words], capture_output=True, text=True, timeout=60, check=False
        )
        assert told.returncode == code, told.stdout + told.stderr
        return told.stdout + told.stderr

    yield engine, regiment
    engine.dispose()


def test_the_verb_shows_what_waits_and_what_was_refused_and_relays_by_hand(shop: Any) -> None:
    engine, regiment = shop
    import shop_parcels

    with engine.begin() as connection:
        enqueue_many(connection, shop_parcels.ship, [{"order": 1}, {"order": 2}])
        enqueue(connection, shop_parcels.later, order=3)
        connection.execute(text("UPDATE regiment_outbox SET effects = '[1]' WHERE id = 2"))
    told = regiment("outbox", "list", "shop_parcels:parcels")
    assert told.splitlines()[1].split() == ["parcels", "2"]
    assert "its Outbox() names no database; expected --url" in regiment("outbox", "list", "shop_parcels:apart", code=5)
    assert "no queue of shop_parcels:plain has an outbox" in regiment("outbox", "list", "shop_parcels:plain", code=3)
    assert "1 row relayed" in regiment("outbox", "relay", "--once", "--url", "sqlite:///shop.db", "shop_parcels:apart")
    told = regiment("outbox", "relay", "--once", "shop_parcels:parcels", code=1)
    assert "1 row relayed, 1 refused" in told and "outbox.refused" in told
    told = regiment("outbox", "list", "shop_parcels:parcels", code=1)
    assert "TypeError" in told
    found = json.loads(regiment("outbox", "list", "shop_parcels:parcels", "--json", code=1))
    assert found["waiting"] == [{"queue": "parcels", "waiting": 0}] and found["refused"][0]["id"] == 2
    assert "1 row to be relayed again" in regiment("outbox", "retry", "--row", "2", "shop_parcels:parcels")
    regiment("outbox", "relay", "--once", "shop_parcels:parcels", code=1)
    assert "name rows with --row, or all with --all" in regiment("outbox", "drop", "shop_parcels:parcels", code=2)
    assert "1 row deleted" in regiment("outbox", "drop", "--all", "shop_parcels:parcels")
    metadata.drop_all(engine)
    assert "metadata.create_all(engine) makes it" in regiment("outbox", "list", "shop_parcels:parcels", code=4)


def test_a_burst_ends_when_queue_and_outbox_are_empty(shop: Any) -> None:
    engine, regiment = shop
    import shop_parcels

    with engine.begin() as connection:
        enqueue_many(connection, shop_parcels.ship, [{"order": 1}, {"order": 2}])
        enqueue(connection, shop_parcels.twice, order=3)
    told = regiment("run", "shop_parcels:parcels", "--burst")
    assert re.findall(r"^shipped (\d)$", told, re.M) == ["1", "2", "4"]
    assert rows(engine) == 0


def test_a_tree_relays_what_is_written_while_it_runs(shop: Any) -> None:
    engine, _ = shop
    import shop_parcels

    with open("out", "w") as out:
        tree = subprocess.Popen(
            [sys.executable, "-m", "regiment", "run", "shop_parcels:parcels"], stdout=out, stderr=out
        )
    try:
        for number in range(3):
            with engine.begin() as connection:
                enqueue(connection, shop_parcels.ship, order=number)
            eventually(lambda number=number: f"shipped {number}" in Path("out").read_text(), 30, Path("out").read_text)
    finally:
        tree.terminate()
        tree.wait(30)
    assert rows(engine) == 0
