"""The user of docs/security.md on MongoDB: `readWrite` on one database is enough for every verb, and reaches no other."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))
from harness import mongod
from regiment.contracts import Dead, Done, Rule, Terms, Ticket
from regiment.errors import StoreError
from regiment_mongo.connector import MongoConnector

PAGE = (Path(__file__).parents[2] / "docs/security.md").read_text()
PASSWORD = "pass/of@worker"


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    server = mongod.Mongod(tmp_path / "locked", None, "--auth").start()
    try:
        with server.client() as client:
            client.admin.command("createUser", "root", pwd="root", roles=["root"])
        with server.client(username="root", password="root") as client:
            roles = [{"role": "readWrite", "db": "regiment"}]
            client.regiment.command("createUser", "worker", pwd=PASSWORD, roles=roles)
            client.shop.secrets.insert_one({"_id": 1})
        yield server.port
    finally:
        server.kill()


def opened(port: int, database: str) -> MongoConnector:
    login = f"worker:{quote(PASSWORD, safe='')}"
    url = f"mongodb://{login}@127.0.0.1:{port}/{database}?directConnection=true&authSource=regiment"
    store = MongoConnector(url)
    store.open("lease")
    return store


def test_a_user_who_may_read_and_write_one_database_can_do_every_verb(port: int) -> None:
    assert 'roles: [{role: "readWrite", db: "regiment"}]' in PAGE
    store = opened(port, "regiment")
    store.push("q", [b"1", b"2"], priority=1, token="a", ids=["a", "b"])
    store.push("q", [b"3"], priority=1, token="b", delay=60)
    store.join("q", "w", Terms())
    assert len(store.exchange("q", "w", 1, 1, [], 5, 1 << 20).deliveries) == 2
    store.exchange("q", "w", 2, 3, [Done(1, 1), Dead(2, "t", b"{}")], 5, 1 << 20)
    assert store.renew([("q", "w")], 30.0) == []
    store.wait([("q", "w")], 0.05)
    letters = store.dead("q")
    assert len(letters) == 1 and store.revive("q", {letters[0].id: None}) == 1
    assert (store.counts("q").ready, store.counts("q").delayed) == (1, 1)
    store.post("q", paused=True)
    assert store.board("q").paused and list(store.queues()) == ["q"]
    store.set("k", b"v", 5)
    assert store.get("k") == b"v" and store.delete("k")
    assert store.lock_take("l", "me", 5) and store.lock_free("l", "me")
    store.announce("here", b"x", 5)
    assert store.presence() == {"here": b"x"}
    store.release("q", "w", [], {}, close=True)
    assert store.purge("q") == 2
    store.rule("q", ("crm", ""), Rule(at_once=1))
    assert store.admit("q", [b"4"], [Ticket("crm", "acme", "key")], priority=1, token="c") == []
    store.gate("q", ("crm", ""), 60)
    assert store.flow("q", [("crm", "acme")])[0].waiting == 1
    store.warnings()
    store.close()


def test_that_user_reaches_no_other_database_and_is_told_so_in_words(port: int) -> None:
    with pytest.raises(StoreError, match="needs the role readWrite on the database") as caught:
        opened(port, "shop").push("q", [b"1"], priority=1, token="a")
    assert "pass/of" not in str(caught.value) and quote(PASSWORD, safe="") not in str(caught.value)
