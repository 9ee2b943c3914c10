"""The outbox of SQLAlchemy under kills of application, relays, database and store: each row once in its queue, in order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import create_engine, func, select
from sqlalchemy.exc import SQLAlchemyError

from harness import scale
from harness.postgres import postgres
from harness.servers import RedisServer, redis
from harness.tree import Tree
from harness.wait import alive, children, eventually
from regiment import Queue, StoreUnavailable
from regiment_sqlalchemy import metadata, outbox
from regiment_testing.faults import order
from transactions.conftest import ready

APPLICATION = """
import os, sys, time
from sqlalchemy import Column, Integer, MetaData, Table, create_engine, func, insert, select
from regiment import Queue, Use
from regiment_sqlalchemy import Outbox, enqueue

database = os.environ["SHOP_DATABASE"]
store = Use("regiment_testing.faults:Faulty", wrapped=os.environ["SHOP_STORE"], orders=os.environ["SHOP_ORDERS"])
parcels = Queue("parcels", connector=store, plugins=[Outbox(url=database)])
own = MetaData()
sales = Table("sales", own, Column("id", Integer, primary_key=True, autoincrement=False))

@parcels.task
def ship(number: int) -> None: ...

def sell(last: int) -> None:
    engine = create_engine(database)
    while True:
        with engine.begin() as connection:
            done = connection.scalar(select(func.count()).select_from(sales))
            if done >= last:
                return
            for number in range(done, min(last, done + 5)):
                connection.execute(insert(sales).values(id=number))
                enqueue(connection, ship, number=number)
        time.sleep(0.005)

if __name__ == "__main__":
    sell(int(sys.argv[1]))
"""


class Shop:
    """An application, two trees that relay, a store, and what kills each of them."""

    def __init__(self, folder: Path, database: str, store: RedisServer, rows: int) -> None:
        (folder / "kill_shop.py").write_text(APPLICATION)
        self.folder, self.rows, self.store = folder, rows, store
        self.environment = {
            **os.environ,
            "SHOP_DATABASE": database,
            "SHOP_STORE": store.url,
            "SHOP_ORDERS": str(folder / "orders"),
            "PYTHONPATH": str(folder),
        }
        self.seller: subprocess.Popen[bytes] | None = None
        self.trees = [self._tree(number) for number in range(2)]

    def _tree(self, number: int) -> Tree:
        runtime = self.folder / f"run{number}"
        runtime.mkdir(mode=0o700)
        environment = {**self.environment, "XDG_RUNTIME_DIR": str(runtime)}
        return Tree(self.folder, runtime, ["kill_shop:parcels"], self.folder / f"log{number}", environment=environment)

    def sold(self) -> bool:
        """Keep a seller running; True if all is sold."""
        if self.seller is not None and self.seller.poll() == 0:
            return True
        if self.seller is None or self.seller.poll() is not None:
            line = [sys.executable, "kill_shop.py", str(self.rows)]
            with open(self.folder / "seller", "ab") as log:
                self.seller = subprocess.Popen(line, cwd=self.folder, env=self.environment, stderr=log)
        return False

    def kill_seller(self) -> None:
        if self.seller is not None and self.seller.poll() is None:
            self.seller.kill()
            self.seller.wait()

    def kill_relay(self, tree: Tree) -> None:
        """The steward, and with it, as nothing tells them apart from outside, the keeper."""
        workers = set(tree.workers())
        for pid in children(tree.pid):
            if pid not in workers and alive(pid):
                os.kill(pid, signal.SIGKILL)

    def kill_store(self) -> None:
        self.store.kill()
        time.sleep(0.3)  # that everybody meets it
        self.store.start()

    def close(self) -> None:
        self.kill_seller()
        for tree in self.trees:
            tree.kill()


@contextmanager
def database(kind: str, folder: Path) -> Iterator[tuple[str, Any]]:
    """A database with an outbox and the table of the application, and what kills it and starts it again."""
    if kind == "sqlite":
        yield f"sqlite:///{folder}/shop.db?timeout=30", lambda: None
        return
    with postgres() as server:

        def kill() -> None:
            server.kill()
            time.sleep(0.3)
            server.start()

        yield f"postgresql+psycopg://postgres@/postgres?host={server.folder}", kill


def left(engine: Any) -> int | None:
    """Rows in the outbox; None while the database is not there."""
    try:
        with engine.connect() as connection:
            return int(connection.scalar(select(func.count()).select_from(outbox)))
    except SQLAlchemyError:
        return None


def counted(look: Any) -> int:
    try:
        return int(look.counts("parcels").ready)
    except StoreUnavailable:
        return 0


@pytest.mark.fault(84)
@pytest.mark.parametrize("kind", ["postgresql", "sqlite"])
def test_each_row_comes_to_its_queue_exactly_once_and_in_order_under_kills_of_all(kind: str, tmp_path: Path) -> None:
    rows, kills, pause = scale.size(1000, 10_000), scale.size(8, 60), scale.size(1, 3)
    random = Random(scale.FIRST_SEED)
    with redis("--appendfsync", "always") as store, database(kind, tmp_path) as (url, kill_database):
        engine = create_engine(url)
        metadata.create_all(engine)
        from sqlalchemy import text

        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE sales (id INTEGER PRIMARY KEY)"))
        queue = Queue("parcels", connector=store.url)
        look = queue.broker.open("look")
        look.post("parcels", paused=True)
        shop = Shop(tmp_path, url, store, rows)
        try:
            for tree in shop.trees:
                tree.ready(1, 60)
            orders = []
            for number in range(kills):
                shop.sold()
                # Only relays push here: the one that does so next dies before the store knows, or before itself knows.
                orders.append(order(tmp_path / "orders", "push", ("killed", "lost", "unsent", "twice")[number % 4]))
                time.sleep(pause * random.uniform(0.1, 0.8))
                print(f"{number}: {counted(look)} rows in their queue, {left(engine)} in the outbox")
                ways = (
                    shop.kill_seller,
                    lambda: shop.kill_relay(random.choice(shop.trees)),
                    shop.kill_store,
                    kill_database,
                )
                ways[number % 4]()
            eventually(shop.sold, 300, lambda: shop.trees[0].text()[-3000:] + (tmp_path / "seller").read_text()[-3000:])
            eventually(lambda: left(engine) == 0, 120, lambda: shop.trees[0].text()[-3000:])
            eventually(lambda: counted(look) >= rows, 60, lambda: shop.trees[0].text()[-3000:])
            assert [one["number"] for one in ready(queue)] == list(range(rows))
            print(f"obeyed: {[path.name for path in orders if not path.exists()]}")
            assert not orders[0].exists(), "a relay died between push and delete"
        finally:
            shop.close()
            look.close()
            queue.broker.close()
            engine.dispose()
