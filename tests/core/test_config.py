"""The configuration: defaults, mistakes told in words, and all of them at once."""

from __future__ import annotations

import pytest

from regiment import Backoff, ConfigError, Logging, Starvation, Timeouts, Use, WorkerConfig
from regiment.config import as_use


def test_a_name_is_all_that_is_needed_and_the_defaults_have_no_problem():
    config = WorkerConfig("mail")
    assert config.check() == []
    assert (config.lease, config.max_deliveries, config.tasks_per_transaction) == (30.0, 5, 1)


def test_an_unknown_field_is_refused_at_once_with_the_nearest_name():
    with pytest.raises(ConfigError, match=r'WorkerConfig has no field "max_retry".*Did you mean "max_retries"'):
        WorkerConfig("mail", max_retry=1)


def test_a_missing_name_a_field_given_twice_and_too_many_values_are_refused():
    with pytest.raises(ConfigError, match='needs the field "name"'):
        WorkerConfig()
    with pytest.raises(ConfigError, match="two values for 'name'"):
        WorkerConfig("mail", name="post")
    with pytest.raises(ConfigError, match="Timeouts takes at most 3 values, got 4"):
        Timeouts(1, 2, 3, 4)


def test_all_problems_are_found_at_once():
    config = WorkerConfig(
        "m ail",
        lease=-1,
        max_retries=-1,
        delivery="twice",
        tasks_per_transaction=0,
        retry_on=Exception,
        timeouts=Timeouts(5, soft=5),
        backoff=Backoff(first=-1),
        logging=Logging(level="LOUD"),
        starvation=Starvation(0),
        connector=5,
        poison_delays=(),
    )
    found = "\n".join(config.check())
    for word in (
        "name is 'm ail'",
        "lease is -1",
        "max_retries is -1",
        "delivery is 'twice'",
        "tasks_per_transaction is 0",
        "retry_on is",
        "timeouts.soft is 5",
        "backoff.first is -1",
        "level 'LOUD'",
        "starvation.time_with_no_tasks is 0",
        "connector is 5",
        "poison_delays is ()",
    ):
        assert word in found
    assert len(config.check()) == 12


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True, "30", None, 0])
def test_a_period_is_a_positive_number_of_seconds(value):
    [problem] = WorkerConfig("mail", lease=value).check()
    assert problem == f"lease is {value!r}; expected a positive number of seconds, at most 100 years"


def test_a_configuration_is_frozen_and_replace_makes_another():
    config = WorkerConfig("mail")
    with pytest.raises(AttributeError, match=r"frozen; use \.replace\(lease=…\)"):
        config.lease = 3
    other = config.replace(lease=3)
    assert (other.lease, config.lease) == (3, 30.0)
    assert other != config and config == WorkerConfig("mail")


@pytest.mark.parametrize(
    ("timeouts", "strikes"),
    [
        (Timeouts(), (None, None)),
        (Timeouts(30), (30, 31.0)),
        (Timeouts(30, grace=5), (30, 35)),
        (Timeouts(30, soft=20), (20, 30)),
        (Timeouts(soft=20), (20, None)),
    ],
)
def test_when_a_task_is_struck_softly_and_for_good(timeouts, strikes):
    assert timeouts.strikes() == strikes


def test_a_use_shows_no_option_values():
    assert repr(Use("redis", url="redis://:secret@h")) == "Use('redis', url=…)"


@pytest.mark.parametrize(
    ("text", "name", "options"),
    [
        ("redis", "redis", {}),
        ("redis://h:1/2", "redis:", {"url": "redis://h:1/2"}),
        ("memory:", "memory:", {"url": "memory:"}),
        ("myapp.kafka:Kafka", "myapp.kafka:Kafka", {}),
    ],
)
def test_a_string_is_a_name_a_url_or_a_class(text, name, options):
    use = as_use(text)
    assert (use.name, use.options) == (name, options)


def test_number_of_threads_is_short_for_the_threaded_executor():
    assert WorkerConfig("mail", number_of_threads=3).executor_use() == Use("threaded", threads=3)
    assert WorkerConfig("mail").executor_use() == Use("serial")
