"""Sergeant's configuration means what it meant, and what cannot be had is refused in words."""

from __future__ import annotations

import logging
from typing import Any

import pytest

import regiment
import regiment_sergeant as sergeant
from regiment import Backoff, ConfigError, Use
from regiment_sergeant.refusing import Refused

config = sergeant.config


def meant(**fields: Any) -> regiment.WorkerConfig:
    return config.WorkerConfig(name="crawl", **fields).meant()


def test_each_default_of_sergeant_is_kept_but_the_serializer_and_the_file() -> None:
    made = meant()
    assert (made.connector, made.serializer, made.compressor) == (None, "msgpack", None)
    assert (made.max_retries, made.retry_on, made.backoff) == (None, (), Backoff(first=0.0, jitter=False))
    assert (made.number_of_threads, made.tasks_per_transaction, made.max_tasks_per_run) == (None, 1, 0)
    assert made.timeouts == regiment.Timeouts(hard=None, grace=10.0) and made.starvation is None
    assert (made.logging.level, made.logging.events) == ("ERROR", {"task.success": None})


def test_each_field_has_its_counterpart() -> None:
    made = meant(
        connector=config.Connector(type="local", params={"file_path": "/tmp/one.db"}),
        max_tasks_per_run=7,
        max_retries=3,
        tasks_per_transaction=50,
        number_of_threads=4,
        encoder=config.Encoder(compressor="gzip", serializer="pickle", key="0123456789abcdef"),
        timeouts=config.Timeouts(timeout=30.0, grace_period=2.0),
        starvation=config.Starvation(time_with_no_tasks=5),
        regiment={"lease": 60.0, "max_retries": 9},
    )
    assert made.connector == Use("local", path="/tmp/one.db")
    assert (made.max_tasks_per_run, made.tasks_per_transaction, made.number_of_threads) == (7, 50, 4)
    assert (made.serializer, made.compressor) == (Use("pickle", key="0123456789abcdef"), "zlib")
    assert made.timeouts == regiment.Timeouts(hard=30.0, grace=2.0)
    assert made.starvation == regiment.Starvation(5)
    assert (made.lease, made.max_retries) == (60.0, 9)  # regiment's own come last


@pytest.mark.parametrize("kind", ["redis", "mongo"])
def test_nodes_of_a_connector_are_those_of_regiment(kind: str) -> None:
    nodes = [{"host": "a", "port": 1}, {"host": "b", "port": 2}]
    assert meant(connector=config.Connector(type=kind, params={"nodes": nodes})).connector == Use(kind, nodes=nodes)
    assert meant(connector=config.Connector(type=kind, params=nodes[0])).connector == Use(kind, nodes=nodes[:1])
    assert getattr(sergeant.connector, kind).Connector(nodes=nodes).meant() == Use(kind, nodes=nodes)


def test_parts_have_sergeants_names() -> None:
    assert sergeant.connector.local.Connector(file_path="q.db").meant() == Use("local", path="q.db")
    assert sergeant.encoder.encoder.Encoder("dummy", "msgpack").meant() == {"serializer": "msgpack", "compressor": None}
    assert sergeant.objects.Task is regiment.Task


def test_events_that_are_off_are_silent_and_success_is_told_where_it_is_on() -> None:
    events = config.LoggingEvents(on_success=True, on_failure=False, on_retry=False, on_stop=False)
    made = meant(logging=config.Logging(level=logging.WARNING, events=events, log_to_stdout=True)).logging
    assert made.level == "WARNING" and [type(one).__name__ for one in made.handlers] == ["StreamHandler"]
    assert made.events == {
        "task.success": "INFO",
        "task.failure": None,
        "task.retry": None,
        "task.interrupted": None,
    }


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"encoder": config.Encoder(serializer="pickle")}, "pickle' without a key, and whoever can write to the store"),
        ({"encoder": config.Encoder(key="0123456789abcdef")}, "a key with 'pickle' only"),
        (
            {"encoder": config.Encoder(serializer="orjson")},
            "encoder.serializer is 'orjson'; expected 'msgpack' or 'pickle'",
        ),
        (
            {"connector": config.Connector(type="rabbit")},
            "connector.type is 'rabbit'; expected 'redis' or 'mongo' or 'local'",
        ),
        (
            {"connector": config.Connector(params={"path": "x"})},
            "connector.params of local has path; expected file_path",
        ),
        (
            {"max_retries": -1, "number_of_threads": 0},
            "max_retries is -1; expected .*; number_of_threads is 0; expected",
        ),
        ({"timeouts": 3}, r"timeouts is 3; expected Timeouts\(…\)"),
        ({"regiment": {"leese": 3}}, 'no field "leese". Did you mean "lease"?'),
    ],
)
def test_what_cannot_be_had_is_refused_in_words(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        meant(**fields)


def test_a_field_of_another_name_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match=r'Timeouts has no field "soft_timeout"\. Did you mean "timeout"'):
        config.Timeouts(soft_timeout=1.0)  # type: ignore[call-arg]


def test_a_worker_without_a_configuration_is_refused_in_words() -> None:
    class Bare(sergeant.worker.Worker):
        def work(self, task: Any) -> None: ...

    with pytest.raises(ConfigError, match="Bare has no configuration but None; expected a WorkerConfig"):
        Bare.push()


@pytest.mark.parametrize(
    ("module", "name", "said"),
    [
        ("broker", "Broker", "a program pushes by its worker class"),
        ("executor", "serial", "write number_of_threads in WorkerConfig"),
        ("killer", "process", "write Timeouts"),
        ("logging", "logstash", "any handler of Python"),
    ],
)
def test_what_is_inside_of_sergeant_is_refused_with_what_to_write(module: str, name: str, said: str) -> None:
    with pytest.raises(Refused, match=said):
        getattr(getattr(sergeant, module), name)


def test_a_key_is_in_no_text_of_the_configuration() -> None:
    made = config.WorkerConfig(name="crawl", encoder=config.Encoder(serializer="pickle", key="0123456789abcdef"))
    assert "0123456789abcdef" not in repr(made) + repr(made.meant())


def test_a_name_that_sergeant_does_not_have_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'slave'"):
        _ = sergeant.slave
