"""Whatever is given for an address: a connector, or an error in words, and never the password."""

from __future__ import annotations

import random
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import pytest

from harness.chance import tries
from regiment.config import as_use
from regiment.errors import RegimentError
from regiment.registry import registry

SECRET = "hunter2sesame"
MASKED = find_spec("regiment.masking") is not None
"""Whether what is shown of addresses goes through one place, which leaves out their secrets."""
PARTS = (
    "redis",
    "rediss",
    "unix",
    "redis+sentinel",
    "redis+cluster",
    "mongodb",
    "mongodb+srv",
    "sqlite",
    "memory",
    "SQLITE",
    "",
    "://",
    ":",
    ":/",
    "///",
    "/",
    "//",
    "@",
    ",",
    "?",
    "&",
    "=",
    "#",
    "%",
    "%2F",
    "%00",
    "[::1]",
    "[",
    "]",
    "localhost",
    "127.0.0.1",
    "db1:6379",
    "db1:99999",
    "db1:-1",
    "db1:x",
    "h" * 300,
    "0",
    "-1",
    "1" * 30,
    "tasks",
    "db=1",
    "tls=true",
    "tls=maybe",
    "verify=0",
    "timeout=inf",
    "replicaSet=rs0",
    "w=0",
    "readPreference=nearest",
    "directConnection=true",
    "ä",
    "\u2100",
    "\ud800",
    "\0",
    "\n",
    " ",
    "\u202e",
    "queue.db",
    "../../x.db",
    "?mode=ro",
    "db",
    "service",
)
WHOLE = (
    f"redis://worker:{SECRET}@db1:6379/0",
    f"rediss://:{SECRET}@db1/1?ca=/x.pem&verify=false",
    "unix:///run/redis.sock?db=1",
    f"redis+sentinel://u:{SECRET}@s1,s2:26379/tasks/0?sentinel_password={SECRET}",
    f"redis+cluster://:{SECRET}@c1,c2",
    f"mongodb://worker:{SECRET}@m1,m2/regiment?replicaSet=rs0&tls=true",
    "sqlite:////var/lib/shop/queue.db",
    "sqlite:",
    "memory:",
)


def built(connector: Any) -> Any:
    return registry().build("connectors", as_use(connector))


def check(connector: Callable[[], Any], given: object) -> None:
    """It is built, not opened: nothing is connected to."""
    try:
        made = connector()
    except RegimentError as error:
        told = [str(error), repr(error)]
        cause: BaseException | None = error.__cause__
        while cause is not None:
            told.append(repr(cause))
            cause = cause.__cause__
        assert str(error)
    else:
        told = [made.describe()]
    for text in told:
        assert SECRET not in text or not MASKED, f"{given!r} -> {text}"


def address(chance: random.Random) -> str:
    """An address that works with some changes, or parts of any."""
    if chance.random() < 0.3:
        return "".join(chance.choices(PARTS, k=chance.randrange(1, 8)))
    text = chance.choice(WHOLE)
    for _ in range(chance.randrange(3)):
        places = [n for n in range(len(text) + 1) if not _within(text, n)]
        at = chance.choice(places)
        text = text[:at] + chance.choice(PARTS) + text[at:]
    return text


def _within(text: str, place: int) -> bool:
    """Whether this place lies within the password, which then would be another."""
    at = text.find(SECRET)
    while at >= 0:
        if at < place < at + len(SECRET):
            return True
        at = text.find(SECRET, at + 1)
    return False


def test_any_text_is_an_address_or_an_error_in_words_without_its_password() -> None:
    def attempt(chance: random.Random) -> None:
        given = address(chance)
        check(lambda: built(given), given)

    tries(attempt)


@pytest.mark.parametrize("name", ["redis", "mongo", "local"])
def test_any_options_of_a_connector_are_taken_or_refused_in_words(name: str) -> None:
    from regiment import Use

    keys = (
        "url",
        "nodes",
        "prefix",
        "timeout",
        "connect_timeout",
        "username",
        "password",
        "path",
        "database",
        "spread",
        "db",
    )
    odd = (
        None,
        True,
        -1,
        0,
        10**400,
        float("nan"),
        float("inf"),
        "",
        "x",
        b"x",
        [],
        {},
        (),
        [[]],
        [{}],
        [None],
        {"host": 1},
        [{"host": "a", "port": "b"}],
        object(),
    )

    secret = {
        "url": address,
        "password": lambda chance: SECRET,
        "nodes": lambda chance: [{**node(chance), "password": SECRET}, address(chance)],
    }

    def node(chance: random.Random) -> dict[str, Any]:
        fields = (
            "host",
            "port",
            "db",
            "username",
            "tls",
            "ca",
            "options",
            "path",
            "verify",
            "database",
            "replica_set",
        )
        return {"host": "a"} | {field: chance.choice(odd) for field in chance.sample(fields, chance.randrange(3))}

    def attempt(chance: random.Random) -> None:
        options = {}
        for key in chance.sample(keys, chance.randrange(1, 4)):
            options[key] = secret[key](chance) if key in secret and chance.random() < 0.7 else chance.choice(odd)
        check(lambda: built(Use(name, **options)), options)

    tries(attempt)
