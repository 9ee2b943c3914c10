"""What may be pushed and configured: refused in words where it is given, whoever asks."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from regiment import Backoff, Queue, Timeouts, Use, WorkerConfig
from regiment.bounds import LONGEST
from regiment.config import as_use
from regiment.errors import ArgumentsError, ConfigError
from regiment_runner.worker.policy import backoff_delay
from regiment_sergeant import Worker
from regiment_testing import Capture, capture

q = Queue("bounds", connector="memory://bounds")


@q.task
def take(**given: Any) -> dict[str, Any]:
    return given


@q.task
def names(self: Any, task: Any, args: Any, queue: Any, kwargs: Any, cls: Any) -> Any:
    return (self, task, args, queue, kwargs, cls)


class Crawl(Worker):
    config = WorkerConfig(name="bounds-crawl", connector="memory://bounds")

    def work(self, task: Any) -> Any:
        return task.kwargs


@pytest.fixture(autouse=True)
def captured() -> Iterator[Capture]:
    with capture(q, Crawl) as held:
        yield held


class Shouting:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


WRONG = {
    "queue": ["my queue!", "größe", "", "q" * 101, 7, b"q", ["q"]],
    "name": [7, "a\nb", "\ud800", "n" * 201, "\x1b[2J", b"n"],
    "id": ["", 7, "i" * 201, "\N{EURO SIGN}" * 67, "a\0b", uuid.UUID(int=7), "a\u202eb"],
    "trace_id": ["", 7, uuid.UUID(int=7), "t\n", "\ud800"],
    "headers": [
        [("a", "b")],
        {1: 2},
        {"a": 1},
        {"": "x"},
        {"a": "x" * 8193},
        {"a": "\ud800"},
        dict.fromkeys(map(str, range(65)), "x"),
        "a=b",
    ],
    "priority": [["HIGH"], "high", 1, {}, "URGENT"],
    "delay": [float("inf"), float("nan"), 1e18, 10**400, "5", True, LONGEST * 1.01, timedelta.max, 10**5000],
    "at": [float("-inf"), 1.8e18, -1, 10**400, "noon", datetime(2030, 1, 1), datetime.max.replace(tzinfo=UTC), True],
    "expires": [10**400, float("inf"), float("nan"), "5", timedelta.max, datetime(2030, 1, 1), 1e18],
}


@pytest.mark.parametrize(
    ("option", "value"),
    [(option, value) for option, values in WRONG.items() for value in (*values, Shouting())],
    ids=lambda value: value if type(value) is str and value in WRONG else type(value).__name__,
)
def test_an_option_that_no_store_could_take_is_refused_in_words_by_every_way_of_pushing(
    option: str, value: Any
) -> None:
    ways: list[Callable[[], Any]] = [
        lambda: q.options(**{option: value}),
        lambda: Crawl.options(**{option: value}).push(a=1),
    ]
    if option not in ("name", "queue"):
        ways.append(lambda: take.options(**{option: value}).push())
    if option != "headers":
        ways.append(lambda: Crawl.__new__(Crawl).push_task({}, **{option: value}))
    for way in ways:
        with pytest.raises(ArgumentsError, match=r"is .*; expected|without a time zone") as caught:
            way()
        assert len(str(caught.value)) < 500 and str(caught.value).isprintable()


@pytest.mark.parametrize(
    "options",
    [
        {"delay": -5},
        {"delay": LONGEST},
        {"delay": timedelta(days=36_000)},
        {"at": 0},
        {"at": datetime.now(UTC) - timedelta(1)},
        {"expires": 5},
        {"id": "\N{EURO SIGN}" * 66},
        {"trace_id": "t" * 200},
        {"headers": {"a": ""}},
        {"priority": "LOW"},
        {"delay": None, "at": None, "id": None, "headers": None, "priority": None},
        {"headers": {"note": "two\nlines"}},
    ],
)
def test_what_is_in_bounds_is_pushed_and_runs(options: dict[str, Any], captured: Capture) -> None:
    take.options(**options).push(a=1)
    captured.drain()
    assert not captured.dead and captured.pushed[0].delay >= 0


def test_a_late_time_is_due_at_once(captured: Capture) -> None:
    take.options(at=0).push()
    take.options(delay=-1e300).push()
    assert [one.delay for one in captured.pushed] == [0, 0]


async def _apush_names() -> None:
    await names.apush(self=1, task=2, args=3, queue=4, kwargs=5, cls=6)
    await take.options(delay=0).apush(self=1)
    await Crawl.apush(cls=1, self=2)
    await q.options(name="take").apush(self=1, options=2)


def test_arguments_of_any_name_work_in_every_way_of_pushing(captured: Capture) -> None:
    import asyncio

    every = dict(self=1, task=2, args=3, queue=4, kwargs=5, cls=6)
    names.push(**every)
    names.options(delay=0).push(**every)
    names.push_many([every])
    q.options(name="names").push(**every)
    Crawl.push(self=1, cls=2, many=3)
    Crawl.options().push(self=1)
    Crawl.__new__(Crawl).push_task({"self": 1, "kwargs": 2})
    assert names(**every) == (1, 2, 3, 4, 5, 6)
    asyncio.run(_apush_names())
    captured.drain()
    assert not captured.dead and len(captured.pushed) == 11


@pytest.mark.parametrize("many", [{"a": 1}, "ab", 5, None, [5], ["a"], [{1: 2}], [None], [[("a", 1)]]])
def test_a_bulk_push_of_no_mappings_is_refused_in_words(many: Any, captured: Capture) -> None:
    for face in (take, Crawl, take.options(delay=1), q.options(name="take")):
        with pytest.raises(ArgumentsError, match="expected"):
            face.push_many(many)  # type: ignore[attr-defined]
    with pytest.raises(ArgumentsError, match="expected"):
        Crawl.__new__(Crawl).push_tasks(many)
    assert not captured.pushed


@pytest.mark.parametrize("kwargs", [None, 5, "ab", {1: 2}, [("a", 1)], {b"a": 1}])
def test_arguments_that_are_no_mapping_of_names_are_refused_in_words(kwargs: Any) -> None:
    with pytest.raises(ArgumentsError, match="expected a mapping of names to values"):
        Crawl.__new__(Crawl).push_task(kwargs)


def test_headers_of_a_plugin_are_held_to_the_same_table(captured: Capture) -> None:
    def wrong(push: Any) -> None:
        push.headers["a"] = 5

    q.broker.asked = ([("careless", wrong)], [])
    with pytest.raises(ArgumentsError, match=r"the plugin careless has changed a push: headers is .*expected"):
        take.push()


def test_a_task_function_has_a_name_that_can_be_pushed() -> None:
    for name in ("", "a\nb", "n" * 201, 7):
        with pytest.raises(ConfigError, match=r"its name is .*; expected a string"):
            Queue("other").task(name=name)(take.function)  # type: ignore[call-overload]
    with pytest.raises(ArgumentsError, match="which has its own"):
        take.options(name="other")


@pytest.mark.parametrize(
    "settings",
    [
        {"timeouts": Timeouts(1e12)},
        {"timeouts": Timeouts(5, grace=float("inf"))},
        {"timeouts": Timeouts(soft=10**400)},
        {"backoff": Backoff(first=float("inf"))},
        {"backoff": Backoff(factor=float("inf"))},
        {"backoff": Backoff(limit=1e18)},
        {"poison_delays": (0, float("inf"))},
        {"unknown_for": 1e18},
        {"lease": 1e11},
        {"max_retries": 10**400},
        {"payload_limit": 2**40},
        {"dead_limit": 10**20},
        {"max_tasks_per_run": 10**20},
        {"connector": "sqlite:///a b:c d:"[::-1]},
    ],
)
def test_a_configuration_has_the_same_bounds(settings: dict[str, Any]) -> None:
    [problem] = WorkerConfig("mail", **settings).check()
    assert "; expected" in problem and len(problem) < 500


@pytest.mark.parametrize("retry", [1, 2, 53, 64, 400, 10**9])
def test_a_back_off_is_capped_before_it_is_computed(retry: int) -> None:
    for first in (0.0, 5e-324, 0.001, 1.0, LONGEST):
        for factor in (1, 1.0000001, 2, 1e6):
            for limit in (0.0, 0.002, 600.0, LONGEST):
                steep = Backoff(first=first, factor=factor, limit=limit, jitter=False)
                assert 0 <= backoff_delay(steep, retry) <= limit
    assert backoff_delay(Backoff(1, 2, 600, False), 4) == 8
    assert backoff_delay(Backoff(0.001, 1e6, 0.002, False), 2) == 0.002


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sqlite:q.db", 'Did you mean "sqlite:///q.db"'),
        ("sqlite:///:memory:", 'connector="memory:"'),
        ("sqlite://q.db", 'expected "sqlite:////absolute/path.db"'),
        ("redis:host", "expected one of redis://"),
        ("redis/host:6379", "is no name and no URL"),
        ("a b", "is no name and no URL"),
    ],
)
def test_a_connector_that_is_no_url_gets_the_right_words(text: str, words: str) -> None:
    from regiment.build import make_connector

    with pytest.raises(ConfigError) as caught:
        make_connector(WorkerConfig("mail", connector=text))
    assert words in str(caught.value)


def test_a_scheme_in_capitals_is_the_same_scheme() -> None:
    assert as_use("SQLITE:///q.db") == as_use("sqlite:///q.db")
    assert as_use("memory:mine") == Use("memory:", url="memory:mine")


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("./ca.py", 'did you mean "ca"?'),
        ("app/ca.py", 'did you mean "app.ca"?'),
        ("/srv/app/ca.py", 'did you mean "ca", with --app-dir /srv/app?'),
        ("../ca.py", 'did you mean "ca", with --app-dir ..?'),
        ("ca-x", 'no module named "ca-x"'),
        ("a b", 'no module named "a b"'),
    ],
)
def test_a_path_in_the_place_of_a_module_is_not_called_the_users_mistake(target: str, words: str) -> None:
    from regiment.errors import TargetError
    from regiment_cli.targets import find

    with pytest.raises(TargetError) as caught:
        find(target)
    assert words in str(caught.value) and "your code" not in str(caught.value)


def test_pickle_on_a_queue_of_another_serializer_is_dead_at_once() -> None:
    from regiment.build import make_codec
    from regiment.errors import DecodeError
    from regiment.registry import registry
    from regiment.task import Task

    signed = WorkerConfig("mail", serializer=Use("pickle", key="an honest key of 32 characters.."))
    message = make_codec(signed, registry()).encode(Task("1", "mail", "", {}, 0.0))
    with pytest.raises(DecodeError) as caught:
        make_codec(WorkerConfig("mail"), registry()).decode(message, "mail")
    assert not caught.value.parkable
