"""Settings of Celery: each is taken, said to have no effect, or refused where it is set."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import timedelta
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from regiment import Timeouts, Use
from regiment_celery import Celery, Ignored, Refused, current_app, options, shared_task
from regiment_celery.exceptions import NotRegistered
from regiment_celery.options import IGNORED, REFUSED
from regiment_celery.settings import SETTINGS


@pytest.fixture(autouse=True)
def nothing_told() -> Iterator[None]:
    options._told.clear()
    yield


def app(**settings: Any) -> Celery:
    return Celery("s", **{"broker": "memory://", **settings}, set_as_current=False)


def chosen(made: Celery, name: str) -> Any:
    return next((one for one in made.config.plugins if isinstance(one, Use) and one.name == name), None)


@pytest.mark.parametrize(
    ("url", "store"),
    [
        ("redis://host:6379/1", "redis://host:6379/1"),
        ("rediss://host", "rediss://host"),
        ("redis+socket:///run/redis.sock", "unix:///run/redis.sock"),
        ("sqla+sqlite:///queue.db", "sqlite:///queue.db"),
        ("mongodb://host/db", "mongodb://host/db"),
        ("memory://", "memory://"),
    ],
)
def test_the_url_of_a_broker_becomes_that_of_a_store(url: str, store: str) -> None:
    assert str(app(broker=url).config.connector) == store


@pytest.mark.parametrize("url", ["amqp://guest@host//", "pyamqp://", "sqs://", "filesystem://", "kafka://host"])
def test_a_broker_that_is_no_store_is_refused_at_import(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REGIMENT_CONNECTOR", raising=False)
    with pytest.raises(
        Refused, match=r"tasks are kept in Redis, MongoDB or SQLite: write redis://….*or set REGIMENT_CONNECTOR"
    ):
        app(broker=url)
    monkeypatch.setenv("REGIMENT_CONNECTOR", "sqlite:///here.db")
    assert app(broker=url).config.connector is None  # the environment says where


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sentinel://host:26379", r"write redis\+sentinel://host:26379/NAME"),
        ("redis://a;redis://b", "expected one URL"),
        (7, "broker_url is 7; expected one URL"),
    ],
)
def test_a_broker_of_several_servers_is_refused_in_words(url: Any, words: str) -> None:
    with pytest.raises(Refused, match=words):
        app(broker=url)


def test_results_are_kept_only_where_there_is_a_backend() -> None:
    assert chosen(app(), "results") is None
    kept = app(backend="db+sqlite:///x", result_expires=timedelta(hours=1))
    assert chosen(kept, "results").options["ttl"] == 3600
    assert chosen(app(backend="rpc://"), "results").options["ttl"] == 86_400


def test_settings_become_those_of_a_worker() -> None:
    made = app(
        task_time_limit=30,
        task_soft_time_limit=20,
        task_compression="gzip",
        task_serializer="json",
        worker_max_tasks_per_child=100,
    )
    config = made.config
    assert (config.timeouts, config.compressor, config.serializer) == (Timeouts(hard=30, soft=20), "gzip", "json")
    assert config.max_tasks_per_run == 100 and config.name == "celery"
    made.conf.update(task_default_queue="mine", worker_pool="threads")
    assert (made.config.name, made.name, made.config.executor) == ("mine", "mine", "threaded")


def test_a_task_limit_and_that_of_the_application_go_together() -> None:
    made = app(task_time_limit=30)
    made.task(plain, name="soft", soft_time_limit=5)
    assert made.config_of("soft").timeouts == Timeouts(hard=30, soft=5)


def plain() -> None: ...


@pytest.mark.parametrize("name", [name for name, one in SETTINGS.items() if one.verdict == IGNORED])
def test_a_setting_that_is_not_needed_is_said_once(name: str) -> None:
    with pytest.warns(Ignored, match=f"^{name} has no effect here: "):
        app().conf[name] = 1


@pytest.mark.parametrize("name", [name for name, one in SETTINGS.items() if one.verdict == REFUSED])
def test_a_setting_that_cannot_be_had_is_refused_where_it_is_set(name: str) -> None:
    made = app()
    with pytest.raises(Refused, match=f"{name}=.* cannot be had here; "):
        made.conf[name] = "something"
    for fine in SETTINGS[name].fine:
        setattr(made.conf, name, fine)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("worker_pool", "gevent", "expected prefork, solo or threads"),
        ("task_serializer", "pickle", "Pickle runs whatever the store holds"),
        ("task_serializer", "yaml", "expected json or msgpack"),
        ("task_compression", "brotli", "expected one of gzip, zlib"),
        ("task_tim_limit", 3, 'Did you mean "task_time_limit"?'),
    ],
)
def test_a_value_that_cannot_be_had_is_refused_in_words(name: str, value: Any, words: str) -> None:
    with pytest.raises(Refused, match=words.replace("?", r"\?")):
        app().conf.update({name: value})


def test_old_names_and_a_namespace_are_read_from_objects_and_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    made = app()
    made.config_from_object(
        SimpleNamespace(CELERY_TASK_RESULT_EXPIRES=60, CELERYD_TASK_TIME_LIMIT=5, OTHER=1, BROKER_URL="redis://h")
    )
    assert (made.conf.result_expires, made.conf.task_time_limit, made.conf.broker_url) == (60, 5, "redis://h")
    module = ModuleType("celery_settings_of_a_test")
    module.CELERY_TIMEZONE, module.CELERY_BROKER_URL, module.DEBUG = "Europe/Berlin", "redis://other", True  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    made.config_from_object(module.__name__, namespace="CELERY")
    assert (str(made.timezone), made.conf["broker_url"]) == ("Europe/Berlin", "redis://other")
    module.CELERY_TASK_ANOTATIONS = {}  # type: ignore[attr-defined]
    with pytest.raises(Refused, match=r'no setting "task_anotations". Did you mean "task_annotations"'):
        made.config_from_object(module.__name__, namespace="CELERY")


def test_routes_name_further_queues_and_what_is_no_queue_is_refused() -> None:
    made = app(task_routes={"feed.*": {"queue": "feeds", "priority": 9}, "web.in": "web"}, task_queues=["extra"])
    assert list(made.others()) == ["extra", "feeds", "web"]
    assert made.way("feed.import", {}) == {"queue": "feeds", "priority": "HIGH"}
    assert made.way("feed.import", {"queue": "now"})["queue"] == "now"
    for routes, words in (
        ({"a": {"routing_key": "x"}}, "task_routes has routing_key, which cannot be had here; a store has queues"),
        ([print], "task_routes has a function; write patterns"),
        ({"a": 5}, "the route 5; expected a queue's name"),
    ):
        with pytest.raises(Refused, match=words):
            app(task_routes=routes).way("a", {})


def test_shared_tasks_are_those_of_every_application_and_run_in_the_current_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("regiment_celery.shared._pending", [])
    monkeypatch.setattr("regiment_celery.shared._apps", [])
    with pytest.raises(Refused, match="there is no Celery application in this process; make one before"):
        current_app.conf

    @shared_task(name="shared-of-a-test", max_retries=1)
    def shared(x: int) -> int:
        return x + 1

    one, two = Celery("one", broker="memory://"), Celery("two", broker="memory://")
    assert shared(1) == 2 and one.tasks["shared-of-a-test"] is not two.tasks["shared-of-a-test"]
    assert shared.max_retries == 1 and shared.app is two and current_app.main == "two"
    one.set_current()
    assert shared.app is one
    with pytest.raises(Refused, match="@shared_task: serializer='json' cannot be had here; what a queue's messages"):
        shared_task(serializer="json")(plain)


def test_what_an_application_does_not_have_says_what_to_do() -> None:
    made = app()
    with pytest.raises(
        Refused, match=r"app.control cannot be had here; commands read the store: regiment tasks cancel"
    ):
        made.control.revoke("x")
    with pytest.raises(AttributeError, match=r"has no 'send_tasks'. Did you mean \"send_task\""):
        made.send_tasks
    with pytest.raises(NotRegistered, match='no task "sum"'):
        made.task_named("sum")
    with pytest.raises(Refused, match=r"Celery\(loader=…\) cannot be had here"):
        app(loader="app")


def test_signals_that_nobody_tells_are_refused_where_they_are_connected() -> None:
    from regiment_celery import signals

    with pytest.raises(Refused, match="the signal before_task_publish cannot be had here; a plugin's regiment_push"):

        @signals.before_task_publish.connect
        def receiver(**_: Any) -> None: ...


def test_signals_and_callbacks_are_told_around_a_run() -> None:
    from regiment_celery import signals
    from regiment_testing import capture

    made, told = app(regiment={"name": "signalled"}), []

    @made.task(bind=True, name="told", autoretry_for=(ValueError,), default_retry_delay=0, max_retries=1)
    def work(self: Any, bad: bool) -> str:
        if bad:
            raise ValueError("bad")
        return "good"

    names = ("task_prerun", "task_success", "task_failure", "task_retry", "task_postrun")
    receivers = {name: lambda name=name, **given: told.append(name.removeprefix("task_")) for name in names}
    for name, receiver in receivers.items():
        getattr(signals, name).connect(receiver, sender=work)
    try:
        with capture(made) as queue:
            work.delay(False)
            queue.drain()
            assert told == ["prerun", "success", "postrun"]
            told.clear()
            work.delay(True)
            queue.drain()
            assert told == ["prerun", "retry", "postrun", "prerun", "failure", "postrun"]
    finally:
        for name, receiver in receivers.items():
            getattr(signals, name).disconnect(receiver)
    assert made.handlers == {}


def test_periodic_tasks_become_schedules_of_the_queue_where_they_go() -> None:
    from regiment_celery.schedules import crontab

    made = app(
        timezone="Europe/Berlin",
        beat_schedule={
            "every morning": {
                "task": "greet",
                "schedule": crontab(hour=7, minute="*/15", day_of_week="mon-fri"),
                "args": ("Ada",),
            },
            "often": {
                "task": "greet",
                "schedule": 30.0,
                "kwargs": {"name": "Bob"},
                "options": {"queue": "other", "expires": 10},
            },
        },
    )
    greet = made.task(greeting, name="greet")

    @made.on_after_configure.connect
    def setup(sender: Celery, **_: Any) -> None:
        sender.add_periodic_task(timedelta(minutes=5), greet.s("Eve"), name="five")

    made.load()
    here = greet.offered["schedules"]
    assert {one.name: (one.spec["cron"], one.spec["every"], one.args) for one in here} == {
        "every-morning": ("*/15 7 * * mon-fri", None, ("Ada",)),
        "five": (None, 300.0, ("Eve",)),
    }
    (there,) = made.others()["other"].tasks["greet"].offered["schedules"]
    assert (there.name, there.spec["every"], there.spec["within"], there.spec["tz"]) == (
        "often",
        30.0,
        10.0,
        "Europe/Berlin",
    )


def greeting(name: str) -> None: ...


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (
            {"task": "greet", "schedule": "hourly"},
            "has the schedule 'hourly'; expected seconds, a timedelta or crontab",
        ),
        ({"schedule": 3}, "expected a mapping with task and schedule"),
        ({"task": "greet", "schedule": 3, "every": 1}, "has every; expected task, schedule"),
        (
            {"task": "greet", "schedule": 3, "options": {"countdown": 1}},
            "has the options countdown; expected queue, priority, expires",
        ),
        ({"task": "greed", "schedule": 3}, 'no task "greed". Did you mean "greet"'),
    ],
)
def test_a_periodic_task_that_cannot_be_had_is_refused_when_it_is_loaded(entry: dict[str, Any], words: str) -> None:
    made = app(beat_schedule={"bad": entry})
    made.task(greeting, name="greet")
    with pytest.raises((Refused, NotRegistered), match=words):
        made.load()


def test_a_crontab_of_two_kinds_of_days_is_refused() -> None:
    from regiment_celery.schedules import crontab, solar

    assert crontab(minute=0, hour={3}, day_of_month="1,15").expression() == "0 3 1,15 * *"
    with pytest.raises(Refused, match="Celery means days on which both hold"):
        crontab(day_of_month=1, day_of_week="mon")
    with pytest.raises(Refused, match=r"solar\(…\) cannot be had here"):
        solar("sunset", 1, 2)


def test_the_warning_of_what_has_no_effect_names_the_line_of_the_program() -> None:
    options._told.clear()
    app = Celery("p", broker="memory://")
    with pytest.warns(Ignored) as told:
        app.conf.update(worker_prefetch_multiplier=1)
    assert told[0].filename == __file__
