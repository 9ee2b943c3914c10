"""SQLite: a push through the caller's own connection is a part of his transaction, and of nothing else."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import regiment_local
from harness.wait import eventually
from regiment import ArgumentsError, Queue, StoreError, Worker, WorkerConfig
from regiment_limits import Limits
from regiment_local import enqueue, lay_out, transaction, wake_waiting
from regiment_local.within import TAKEN
from regiment_results import Results, handle
from regiment_testing import capture
from transactions.conftest import ready


def ship(order: int) -> None: ...


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A file with a table of an application and those of a queue."""
    found = f"{tmp_path}/shop.db"
    with sqlite3.connect(found) as connection:
        connection.execute("CREATE TABLE sales (id INTEGER PRIMARY KEY)")
    connection.close()
    lay_out(found)
    return found


@pytest.fixture
def connection(path: str) -> Iterator[sqlite3.Connection]:
    found = sqlite3.connect(path)
    yield found
    found.close()


@pytest.fixture
def parcels(path: str) -> Iterator[Queue]:
    queue = Queue("parcels", connector=f"sqlite:///{path}", plugins=[Results(ttl=60), Limits()])
    queue.task(ship)
    yield queue
    queue.broker.close()


def sales(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM sales").fetchone()[0])


def test_a_rollback_leaves_nothing_and_a_commit_has_both(connection: sqlite3.Connection, parcels: Queue) -> None:
    task = parcels.tasks["ship"]
    connection.execute("INSERT INTO sales VALUES (1)")
    enqueue(connection, task, order=1)
    assert connection.in_transaction and ready(parcels) == []
    connection.rollback()
    assert (sales(connection), ready(parcels)) == (0, [])
    told = enqueue(connection, task, order=2)
    connection.execute("INSERT INTO sales VALUES (2)")
    enqueue(connection, task.options(delay=60, priority="HIGH"), order=3)
    enqueue(connection, task.options(priority="HIGH"), order=4)
    connection.commit()
    assert (sales(connection), [one["order"] for one in ready(parcels)]) == (1, [4, 2])
    look = parcels.broker.open("look")
    assert look.counts("parcels").delayed == 1
    look.close()
    assert handle(parcels, told.id).state() == "waiting", "what a plugin adds to a push comes with it"


def test_ids_and_unique_keys_hold_across_transactions_and_pushes(
    connection: sqlite3.Connection, path: str, parcels: Queue
) -> None:
    plain = Queue("plain", connector=f"sqlite:///{path}")
    plain.task(ship)
    with transaction(connection):
        assert not enqueue(connection, plain.tasks["ship"].options(id="seven"), order=7).existed
    assert plain.tasks["ship"].options(id="seven").push(order=7).existed
    with transaction(connection):
        assert enqueue(connection, plain.tasks["ship"].options(id="seven"), order=7).existed
        for _ in range(2):
            enqueue(connection, parcels.tasks["ship"].options(unique="8"), order=8)
    assert len(ready(plain)) == 1 and len(ready(parcels)) == 1
    plain.broker.close()


def test_an_error_within_a_push_undoes_the_push_and_leaves_the_transaction(
    connection: sqlite3.Connection, parcels: Queue
) -> None:
    with transaction(connection):
        connection.execute("INSERT INTO sales VALUES (1)")
        with pytest.raises(ArgumentsError, match="needs order"):
            enqueue(connection, parcels.tasks["ship"])
        connection.execute("CREATE TEMP TRIGGER no BEFORE INSERT ON main.tasks BEGIN SELECT RAISE(ABORT, 'no'); END")
        with pytest.raises(sqlite3.IntegrityError):
            enqueue(connection, parcels.tasks["ship"], order=1)
        connection.execute("DROP TRIGGER no")
        enqueue(connection, parcels.tasks["ship"], order=2)
    assert (sales(connection), ready(parcels)) == (1, [{"order": 2}])


def test_factories_of_the_caller_s_connection_are_his_and_disturb_nothing(
    connection: sqlite3.Connection, parcels: Queue
) -> None:
    connection.row_factory = lambda cursor, row: {column[0]: value for column, value in zip(cursor.description, row)}
    connection.text_factory = bytes
    factory = connection.row_factory
    with transaction(connection):
        enqueue(connection, parcels.tasks["ship"], order=1)
    assert connection.row_factory is factory and connection.text_factory is bytes
    assert ready(parcels) == [{"order": 1}]


def test_a_worker_class_is_pushed_by_its_name(connection: sqlite3.Connection, path: str) -> None:
    class Ship(Worker):
        config = WorkerConfig(name="ship", connector=f"sqlite:///{path}")

        def work(self, task: Any) -> None: ...

    with transaction(connection):
        assert enqueue(connection, Ship, order=1).queue == "ship"


def test_an_attached_file_has_the_push_of_the_transaction(tmp_path: Path) -> None:
    queue = Queue("parcels", connector=f"sqlite:///{tmp_path}/queue.db")
    queue.task(ship)
    queue.tasks["ship"].push(order=0)
    connection = sqlite3.connect(f"{tmp_path}/shop.db")
    connection.execute("CREATE TABLE sales (id INTEGER PRIMARY KEY)")
    with pytest.raises(
        ArgumentsError, match=r"the queue lives in .*queue.db, and this connection has main = .*shop.db"
    ):
        enqueue(connection, queue.tasks["ship"], order=1)
    connection.execute("ATTACH ? AS [my queue]", (f"{tmp_path}/queue.db",))
    for end in (connection.rollback, connection.commit):
        connection.execute("INSERT INTO sales VALUES (1)")
        enqueue(connection, queue.tasks["ship"], order=1)
        end()
    assert (sales(connection), [one["order"] for one in ready(queue)]) == (1, [0, 1])
    results = Queue("results", connector=f"sqlite:///{tmp_path}/queue.db", plugins=[Results(ttl=60)])
    results.task(ship)
    with pytest.raises(StoreError, match=r"lacks the tables that this push needs"):
        enqueue(connection, results.tasks["ship"], order=1)
    connection.rollback()
    results.tasks["ship"].push(order=0)
    enqueue(connection, results.tasks["ship"], order=1)
    connection.commit()
    assert len(ready(results)) == 2
    connection.execute("CREATE TABLE tasks (id)")
    with pytest.raises(ArgumentsError, match='main has a table "tasks", which hides that of the queue'):
        enqueue(connection, queue.tasks["ship"], order=2)
    connection.close()
    for one in (queue, results):
        one.broker.close()


def test_what_cannot_be_part_of_a_transaction_is_refused_in_words(
    connection: sqlite3.Connection, path: str, parcels: Queue, tmp_path: Path
) -> None:
    task = parcels.tasks["ship"]
    with pytest.raises(ArgumentsError, match="expected a task function"):
        enqueue(connection, ship, order=1)
    with pytest.raises(ArgumentsError, match=r"expected an open sqlite3.Connection"):
        enqueue(path, task, order=1)  # type: ignore[arg-type]
    free = sqlite3.connect(path, isolation_level=None)
    with pytest.raises(ArgumentsError, match="commits each statement by itself"):
        enqueue(free, task, order=1)
    with transaction(free):
        enqueue(free, task, order=1)
        with pytest.raises(ArgumentsError, match="is in a transaction already"), transaction(free):
            pass
    free.close()
    far = Queue("far", connector="redis://localhost:1/0")
    far.task(ship)
    with pytest.raises(ArgumentsError, match="this connection writes to SQLite; regiment_sqlalchemy has an outbox"):
        enqueue(connection, far.tasks["ship"], order=1)
    enqueue(connection, task, order=1)
    with pytest.raises(ArgumentsError, match="expected after its commit"):
        wake_waiting(connection)
    bare = Queue("bare", connector=f"sqlite:///{tmp_path}/bare.db")
    bare.task(ship)
    with sqlite3.connect(f"{tmp_path}/bare.db") as other:
        other.execute("CREATE TABLE sales (id)")
        with pytest.raises(StoreError, match=r"regiment_local.lay_out\('.*bare.db'\) makes them"):
            enqueue(other, bare.tasks["ship"], order=1)
    other.close()


def test_a_file_whose_names_are_taken_gets_no_queue(tmp_path: Path) -> None:
    for statement, said in (
        ("CREATE TABLE tasks (id)", "has tasks already, which is a name of a queue's table"),
        ("PRAGMA user_version = 7", "has application_id 0 and user_version 7"),
    ):
        path = f"{tmp_path}/{abs(hash(said))}.db"
        with sqlite3.connect(path) as connection:
            connection.execute(statement)
        connection.close()
        with pytest.raises(StoreError, match=said):
            lay_out(path)


def test_the_names_that_an_application_may_not_have_are_those_of_all_tables_of_the_connector() -> None:
    folder = Path(next(iter(regiment_local.__path__)))
    found = {name for file in folder.rglob("*.py") for name in re.findall(r"CREATE TABLE (\w+)", file.read_text())}
    assert found == TAKEN


def test_a_capture_has_the_task_at_once(connection: sqlite3.Connection, parcels: Queue) -> None:
    with capture(parcels) as queue:
        enqueue(connection, parcels.tasks["ship"], order=1)
        queue.assert_pushed(parcels.tasks["ship"], order=1)


WORKER = """
import os
from regiment import Queue
parcels = Queue("parcels", connector="sqlite:///shop.db", recheck=60)
@parcels.task
def ship(order: int) -> None:
    print("shipped", order, flush=True)
"""


def test_an_idle_worker_is_woken_by_the_end_of_the_transaction(
    tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sale_tasks.py").write_text(WORKER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    import sale_tasks

    with open("out", "w") as out:
        tree = subprocess.Popen([sys.executable, "-m", "regiment", "run", "sale_tasks"], stdout=out, stderr=out)
    connection = sqlite3.connect(path)
    try:
        sale_tasks.ship.push(order=0)
        eventually(lambda: "shipped 0" in Path("out").read_text(), 30, Path("out").read_text)
        time.sleep(1.0)  # that it sleeps
        with transaction(connection):
            enqueue(connection, sale_tasks.ship, order=1)
        eventually(lambda: "shipped 1" in Path("out").read_text(), 20, Path("out").read_text)
        time.sleep(1.0)
        enqueue(connection, sale_tasks.ship, order=2)
        connection.commit()
        wake_waiting(connection)
        eventually(lambda: "shipped 2" in Path("out").read_text(), 20, Path("out").read_text)
    finally:
        tree.terminate()
        tree.wait(30)
        connection.close()


SELLER = """
import sqlite3, sys
from sale_tasks import ship
from regiment_local import enqueue, transaction
connection = sqlite3.connect("shop.db", timeout=30)
(last,) = connection.execute("SELECT coalesce(max(id), 0) FROM sales").fetchone()
while True:
    last += 1
    with transaction(connection):
        connection.execute("INSERT INTO sales VALUES (?)", (last,))
        enqueue(connection, ship, order=last)
        print(last, flush=True)
"""


@pytest.mark.fault(95)
def test_a_seller_that_is_killed_anywhere_leaves_for_each_sale_one_task_and_no_other(tmp_path: Path, path: str) -> None:
    from random import Random

    from harness import scale

    (tmp_path / "sale_tasks.py").write_text(WORKER)
    random = Random(scale.FIRST_SEED)
    for _ in range(scale.size(8, 80)):
        seller = subprocess.Popen([sys.executable, "-c", SELLER], cwd=tmp_path, stdout=subprocess.PIPE)
        assert seller.stdout is not None and seller.stdout.readline()
        time.sleep(random.uniform(0, 0.2))
        os.kill(seller.pid, signal.SIGKILL)
        seller.communicate()
    with sqlite3.connect(path) as connection:
        sold = [row[0] for row in connection.execute("SELECT id FROM sales ORDER BY id")]
    connection.close()
    queue = Queue("parcels", connector=f"sqlite:///{path}")
    assert [one["order"] for one in ready(queue)] == sold and len(sold) >= 8
    queue.broker.close()
