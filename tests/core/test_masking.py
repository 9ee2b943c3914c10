"""Of a store's URL people see scheme, hosts and database, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regiment import Use, WorkerConfig
from regiment.build import make_connector
from regiment.errors import ConfigError, RegimentError
from regiment.masking import masked, shown_url
from regiment.queue import Queue
from regiment_console.config import origins


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://db1:6379/0", "redis://db1:6379/0"),
        ("redis://bob:pw@db1:6379/0", "redis://db1:6379/0"),
        ("redis://:p@w@db1/0?password=x", "redis://db1/0"),
        ("redis://bob:p/w@db1/0", "redis://…"),
        ("redis://bob:p?w@db1/0", "redis://…"),
        ("redis://bob:12?w@db1/0", "redis://…"),
        ("redis+sentinel://a:1,b:2/mymaster/0", "redis+sentinel://a:1,b:2/mymaster/0"),
        ("mongodb://u:p@[::1]:27017,b/shop?authSource=admin", "mongodb://[::1]:27017,b/shop"),
        ("unix:///run/redis.sock?password=x", "unix:///run/redis.sock"),
        ("sqlite:////var/lib/ä b/queue.db", "sqlite:////var/lib/ä b/queue.db"),
        ("memory:", "memory:"),
    ],
)
def test_what_is_shown_of_a_url(url: str, shown: str) -> None:
    assert shown_url(url) == shown


SECRET = st.text(st.characters(exclude_categories=("C",)), min_size=3, max_size=12).map(lambda text: f"Zq{text}qZ")


def parts(secret: str) -> list[str]:
    """What would betray it: each of its pieces between the characters that end a part of a URL."""
    import re

    return [part for part in re.split(r"[/?#@:&=,\s'\"]", secret) if len(part) > 2]


@settings(deadline=None)  # the first one imports a driver
@given(SECRET, st.sampled_from(["redis", "rediss", "mongodb", "postgres", "redis+sentinel"]))
def test_no_piece_of_a_password_is_shown_however_it_is_written(secret: str, scheme: str) -> None:
    url = f"{scheme}://bob:{secret}@db1:6379/0"
    config = WorkerConfig("mail", connector=url)
    texts = [
        shown_url(url),
        repr(config),
        repr(config.replace(lease=5)),
        str(config.values()),
        repr(Use("x", url=url)),
    ]
    texts += [value for _, value, _ in origins(Queue("mail", connector=url))]
    try:
        made = make_connector(config)
        texts.append(made().describe())
    except RegimentError as error:
        texts.append(str(error))
    for text in texts:
        assert "bob" not in text
        for part in parts(secret):
            assert part not in text


@pytest.mark.parametrize(
    "connector",
    [
        ["redis://:hunter2@h"],
        {"url": "redis://:hunter2@h"},
        "redis:/:hunter2@h",
        "redis:hunter2@h/0",
        "h:hunter2@x",
        Use("redis", nodes="redis://:hunter2@h"),
        Use("redis", nodes=[("h", 1, "hunter2")]),
        Use("mongo", nodes="mongodb://:hunter2@h"),
        Use("mongo", nodes=[{"host": "h", "passwort": "hunter2"}]),
        Use("mongo", url=["hunter2"]),
        Use("nowhere", dsn="hunter2"),
        Use("redis", url="redis://:hunter2\u2100@h"),
    ],
)
def test_what_is_wrong_about_a_connector_is_said_without_its_password(connector: object) -> None:
    config = WorkerConfig("mail", connector=connector)  # type: ignore[arg-type]
    texts = [*config.check(), repr(config)] if not isinstance(connector, (list, dict)) else config.check()
    texts += (
        [value for _, value, _ in origins(Queue("mail", connector=connector))]
        if isinstance(connector, (str, Use))
        else []
    )
    try:
        make_connector(config)
    except (ConfigError, RegimentError, AttributeError) as error:
        texts.append(str(error))
    assert not any("hunter2" in text for text in texts), texts


def test_config_shows_no_secret_of_an_optional_part() -> None:
    rows = origins(Queue("mail", connector=Use("mongo", nodes=[{"host": "h", "password": "hunter2"}])))
    assert not any("hunter2" in value for _, value, _ in rows)


def test_urls_in_texts_of_others_are_masked() -> None:
    text = "cannot reach redis://bob:pw@db1/0, nor (mongodb://u:p@h/x?a=b)."
    assert masked(text) == "cannot reach redis://db1/0, nor (mongodb://h/x)."


def test_two_stores_that_look_alike_are_two(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = (WorkerConfig("m", connector=f"redis://u:{p}@h/0") for p in ("a", "b"))
    assert repr(one) == repr(two) and one != two
