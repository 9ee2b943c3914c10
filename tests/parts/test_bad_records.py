"""One bad record in a store hides no other: it is a line that says so, and what is bad can be dropped. On real servers."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

sys.path.insert(0, str(Path(__file__).parent.parent))
from harness.servers import RedisServer, ask, redis
from regiment.codec import Codec
from regiment.contracts import Dead, Terms
from regiment.task import Task
from regiment_cli.main import cli
from regiment_local.local import LocalConnector
from regiment_redis.connector import RedisConnector
from regiment_serializers.json import JsonSerializer
from regiment_serializers.msgpack import MsgpackSerializer

HUGE = 10**4301
"""More digits than Python writes or reads as text."""


@pytest.fixture(scope="module")
def shared() -> Iterator[RedisServer]:
    with redis() as one:
        yield one


@pytest.fixture
def server(shared: RedisServer) -> RedisServer:
    ask(shared.port, "FLUSHALL")
    return shared


def nothing(name: str) -> Any:
    raise LookupError(name)


def message(id: str, serializer: str = "msgpack", **kwargs: Any) -> bytes:
    parts = {"msgpack": MsgpackSerializer(), "json": JsonSerializer()}[serializer]
    codec = Codec(
        (serializer, parts),
        None,
        payload_limit=1 << 20,
        find_serializer=nothing,
        find_compressor=nothing,
    )
    return codec.encode(Task(id, "q", "send", kwargs, 1.5))


def bury(connector: Any, queue: str, letters: dict[bytes, bytes]) -> None:
    """Dead letters of these payloads, with these reasons."""
    connector.push(queue, list(letters), priority=5, token=f"t-{queue}-{len(letters)}")
    connector.join(queue, "c", Terms())
    taken = connector.exchange(queue, "c", 1, 1, (), 100, 1 << 30)
    deaths = [Dead(one.receipt, f"id-{one.receipt}", letters[one.payload]) for one in taken.deliveries]
    connector.exchange(queue, "c", 2, 100, deaths, 0, 0)
    connector.release(queue, "c", (), {}, close=True)


GOOD = json.dumps(
    {"kind": "failure", "error_type": "ValueError", "error": "as usual", "runs": 1, "deliveries": 1, "name": "send"}
).encode()
BAD_REASONS = [
    b"",
    b"\xff\xfe",
    b"null",
    b"[1]",
    b"{",
    b"[" * 100_000,
    b'{"runs": ' + b"1" * 4301 + b"}",
    b'{"kind": ["a"], "error": {"a": 1}, "name": 5}',
    b'{"kind": {}, "error_type": [], "runs": "many", "deliveries": 1e999}',
    b'{"evidence": 5, "traceback": [1], "kind": "x"}',
]


def run(url: str, *words: str) -> Result:
    found = CliRunner().invoke(cli, [*words, "--connector", url])
    assert found.exit_code == 0, (words, found.output, found.exception)
    return found


@pytest.fixture(params=["local", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Any]:
    if request.param == "local":
        url, connector = f"sqlite:///{tmp_path}/q.db", LocalConnector(f"sqlite:///{tmp_path}/q.db")
    else:
        url = request.getfixturevalue("server").url
        connector = RedisConnector(url)
    connector.open("lease")
    return url, connector


def test_letters_with_reasons_of_any_shape_are_lines_beside_the_others(
    store: tuple[str, Any],
) -> None:
    url, connector = store
    reasons = [GOOD, *BAD_REASONS]
    payloads = {message(f"t-{at}", n=at): reason for at, reason in enumerate(reasons)}
    bury(connector, "q", payloads)
    listed = json.loads(run(url, "dead", "list", "--json").stdout)
    assert listed["total"] == len(listed["letters"]) == len(reasons)
    assert sum(one["error"] == "as usual" for one in listed["letters"]) == 1
    assert sum(one["kind"] == "unreadable" for one in listed["letters"]) == 7
    text = run(url, "dead", "list").stdout
    assert "as usual" in text and text.count("unreadable") == 7
    assert "as usual" in run(url, "dead", "list", "--group").stdout
    for one in listed["letters"]:
        assert one["letter"] in run(url, "dead", "show", one["letter"]).stdout
        assert json.loads(run(url, "dead", "show", one["letter"], "--json").stdout)["kwargs"]
    run(url, "dead", "purge", "q", "--yes")
    assert json.loads(run(url, "dead", "list", "--json").stdout)["letters"] == []


@pytest.mark.parametrize("serializer", ["msgpack", "json"])
def test_a_letter_with_an_integer_of_4301_digits_is_shown(store: tuple[str, Any], serializer: str) -> None:
    url, connector = store
    payload = message("big", serializer, number=HUGE, deep=[{"n": HUGE}], plain="to be seen", keys={(1, 2): 3})
    bury(connector, "q", {payload: GOOD, message("other", n=1): GOOD})
    letters = json.loads(run(url, "dead", "list", "--json").stdout)["letters"]
    assert len(letters) == 2
    pages = [run(url, "dead", "show", one["letter"]).stdout for one in letters]
    (page,) = [page for page in pages if "to be seen" in page]
    assert "number = unreadable: a int; ValueError: Exceeds the limit (4300" in page
    documents = [run(url, "dead", "show", one["letter"], "--json").stdout for one in letters]
    (document,) = [document for document in documents if "to be seen" in document]
    assert json.loads(document)["kwargs"]["deep"].startswith("unreadable: a list")
    run(url, "dead", "replay", "q")
    assert connector.counts("q").ready == 2


def test_a_message_whose_times_or_counts_cannot_be_reckoned_with_is_unreadable() -> None:
    from regiment.errors import DecodeError

    inner = MsgpackSerializer()
    codec = Codec(("msgpack", inner), None, payload_limit=1 << 20, find_serializer=nothing, find_compressor=nothing)
    whole = message("i", n=1)
    for record in (
        ["send", {}, HUGE],
        ["send", {}, 2**63],
        ["send", {}, 1.5, HUGE, None, None, None],
        ["send", {}, 1.5, -1, None, None, None],
        ["send", {}, 1.5, 0, None, None, HUGE],
        ["send", {}, True],
    ):
        from zlib import crc32

        data = whole[: whole.index(b"\x01i") + 2] + inner.dumps(record)
        with pytest.raises(DecodeError, match="the record of the message is"):
            codec.decode(data + crc32(data).to_bytes(4, "little"), "q")


def test_a_queue_whose_name_is_no_utf_8_is_a_line_and_can_be_emptied(server: RedisServer) -> None:
    connector = RedisConnector(server.url)
    connector.open("push")
    connector.push("good", [message("a", n=1)], priority=5, token="1")
    ask(server.port, "SADD", "regiment:queues", b"bad\xff")
    name = "bad\udcff"
    connector.push(name, [message("b", n=1)], priority=5, token="2")
    queues = json.loads(run(server.url, "queues", "--json").stdout)["queues"]
    assert {one["queue"]: one["ready"] for one in queues} == {"good": 1, "bad\\xff": 1}
    assert "bad\\xff" in run(server.url, "queues").stdout
    run(server.url, "queues", "purge", name, "--yes")
    assert connector.counts(name).ready == 0
    bury(connector, name, {message("c", n=1): GOOD})
    (letter,) = json.loads(run(server.url, "dead", "list", "--json").stdout)["letters"]
    assert letter["queue"] == "bad\\xff"
    run(server.url, "dead", "purge", name, "--yes")
    assert connector.counts(name).dead == 0


def test_a_queue_that_cannot_be_read_hides_no_other(server: RedisServer) -> None:
    connector = RedisConnector(server.url)
    connector.open("push")
    connector.push("good", [message("a", n=1)], priority=5, token="1")
    bury(connector, "fine", {message("b", n=1): GOOD})
    ask(server.port, "SADD", "regiment:queues", "broken")
    ask(server.port, "SET", "regiment:{broken}", "no hash")
    ask(server.port, "SET", "regiment:{broken}:deaths", "no list")
    found = run(server.url, "queues")
    assert "good" in found.stdout and 'the queue "broken" is unreadable' in found.stderr
    assert "unreadable" in {
        key for one in json.loads(run(server.url, "queues", "--json").stdout)["queues"] for key in one
    }
    letters = json.loads(run(server.url, "dead", "list", "--json").stdout)["letters"]
    assert {one["queue"]: one["kind"] for one in letters} == {
        "fine": "failure",
        "broken": "unreadable",
    }
    assert "as usual" in run(server.url, "dead", "list", "--group").stdout


def test_damaged_letters_are_lines_and_can_be_dropped(server: RedisServer) -> None:
    connector = RedisConnector(server.url)
    connector.open("lease")
    bury(connector, "q", {message("b", n=1): GOOD, message("c", n=2): GOOD})
    for id, record in {"0": b"\xc1", "1": b"\x01", "2": b"\x91\x01", "99999999999999-9": b"", "\xff": b"\x90"}.items():
        ask(server.port, "HSET", "regiment:{q}:dead", id.encode("latin-1"), record)
        ask(server.port, "ZADD", "regiment:{q}:deaths", 0, id.encode("latin-1"))
    letters = json.loads(run(server.url, "dead", "list", "--json").stdout)["letters"]
    assert sum(one["kind"] == "unreadable" for one in letters) == 5 and len(letters) == 7
    run(server.url, "dead", "show", "1")
    run(server.url, "dead", "replay", "q")
    assert connector.counts("q").ready == 2
    assert connector.drop("q", ["0", "1"]) == 2
    run(server.url, "dead", "purge", "q", "--yes")
    assert connector.dead("q", 10) == []


RECORDS = [
    b"\xff",
    b"[" * 100_000,
    b'{"host": "x", "pid": ' + b"1" * 4301 + b', "workers": []}',
    b"null",
    b'{"host": "x", "pid": 1, "workers": [{"queue": "q", "rate": 1' + b"0" * 400 + b"}]}",
    b'{"host": "x", "pid": 1, "workers": [{"queue": [], "pid": 1e999, "tasks": 1e999}]}',
    b'{"host": "x", "pid": 1, "workers": 5}',
]


def test_presence_records_of_any_shape_hide_no_queue(store: tuple[str, Any]) -> None:
    url, connector = store
    connector.push("q", [message("a", n=1)], priority=5, token="1")
    for at, record in enumerate(RECORDS):
        connector.announce(f"k{at}", record, 60.0)
    good = {"host": "elsewhere", "pid": 7, "workers": [{"queue": "q", "pid": 8, "tasks": 3, "rate": 1.5}]}
    connector.announce("good", json.dumps(good).encode(), 60.0)
    (one,) = json.loads(run(url, "queues", "--json").stdout)["queues"]
    assert one["ready"] == 1 and one["workers"] >= 1
    assert "elsewhere" in run(url, "workers").stdout


def test_text_in_the_embedded_file_that_is_no_utf_8_hides_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/q.db"
    connector = LocalConnector(url)
    connector.open("lease")
    connector.push("good", [message("a", n=1)], priority=5, token="1")
    connector.push("other", [message("b", n=1)], priority=5, token="2")
    bury(connector, "fine", {message("c", n=1): GOOD})
    connector.close()
    with sqlite3.connect(tmp_path / "q.db") as db:
        db.execute("UPDATE queues SET name = CAST(x'62ff' AS TEXT) WHERE name = 'other'")
    found = run(url, "queues")
    assert "good" in found.stdout and "b\\xff" in found.stdout + found.stderr
    assert "as usual" in run(url, "dead", "list").stdout


@pytest.mark.parametrize("name", ["x", "lock:x", "", "a}b", "{a}"])
def test_a_lock_and_a_queue_of_any_names_are_apart_in_redis(server: RedisServer, name: str) -> None:
    connector = RedisConnector(server.url)
    connector.open("lease")
    for queue in (f"lock:{name}", name or "q"):
        assert connector.lock_take(name, "me", 30.0)
        connector.push(queue, [b"payload"], priority=5, token=f"t{queue}")
        connector.join(queue, "c", Terms())
        taken = connector.exchange(queue, "c", 1, 1, (), 10, 1 << 20)
        assert [one.payload for one in taken.deliveries] == [b"payload"]
        look = connector.lock_look(name)
        assert look is not None and look[0] == "me"
        assert connector.lock_free(name, "me")
