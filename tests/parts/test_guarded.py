"""What `check --connect` says of passwords in the open, of servers believed unseen, and which keys are refused."""

from __future__ import annotations

import pytest

from regiment_mongo.address import addresses
from regiment_redis.address import node, parse, unguarded
from regiment_serializers.pickle import PickleSerializer


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("redis://:pw@db1/0", "plain TCP"),
        ("redis+sentinel://:pw@a,b/main/0", "plain TCP"),
        ("rediss://:pw@db1/0?verify=false", "verify=false"),
        ("rediss://:pw@db1/0?ssl_cert_reqs=none", "verify=false"),
        ("rediss://:pw@db1/0?check_hostname=false", "check_hostname=false"),
        ("rediss://:pw@db1/0", None),
        ("redis://db1/0", None),
        ("redis://:pw@localhost/0", None),
        ("unix:///run/redis.sock?password=pw", None),
    ],
)
def test_redis_says_what_somebody_on_the_way_could_do(url: str, word: str | None) -> None:
    found = unguarded(parse(url))
    assert [word in text for text in found] == ([True] if word else [])
    assert not any("pw" in text for text in found)


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("mongodb://u:pw@db1/x", "plain TCP"),
        ("mongodb://u:pw@localhost,db1/x", "plain TCP"),
        ("mongodb://u:pw@db1/x?tls=true&tlsInsecure=true", "tlsInsecure=true"),
        ("mongodb://u:pw@db1/x?tls=true", None),
        ("mongodb+srv://u:pw@db1/x", None),
        ("mongodb://db1/x", None),
        ("mongodb://u:pw@127.0.0.1:27017/x", None),
    ],
)
def test_mongo_says_what_somebody_on_the_way_could_do(url: str, word: str | None) -> None:
    [address] = addresses(url, None, None)
    found = address.unguarded
    assert [word in text for text in found] == ([True] if word else [])
    assert not any("pw" in text for text in found)


def test_a_node_as_sergeant_wrote_it_is_understood() -> None:
    made = node({"host": "db1", "port": 6379, "password": None, "database": 3})
    assert (made.hosts, made.db) == ((("db1", 6379),), 3)


def test_a_key_that_was_typed_and_not_made_is_refused() -> None:
    [problem] = PickleSerializer.check({"key": "aaaaaaaaaaaaaaaabb"})
    assert "fewer than 8 different characters" in problem and "aab" not in problem
    assert not PickleSerializer.check({"key": "0123456789abcdef"})
