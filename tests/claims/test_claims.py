"""Claims as a task's author meets them, in `capture()`: values come back unseen, and what cannot be is said in words."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from regiment import Queue, Retry, current
from regiment.errors import ArgumentsError, ConfigError, EncodeError, PayloadTooLarge
from regiment_claims import ClaimRefused, Claims, ClaimTooLarge
from regiment_results import Results, ResultTooLarge, ResultUnreadable, handle
from regiment_schedules import schedule
from regiment_schedules.declared import encoded
from regiment_testing import capture
from regiment_workflows import FlowQueue, Workflows, chain

NOWHERE = "sqlite:////nowhere/at/all.db"
box = FlowQueue(
    "claims-box",
    connector=NOWHERE,
    max_retries=2,
    plugins=[Claims("s3://nobody/asks", above=1000, limit=100_000), Results(), Workflows()],
)
loop = Queue(
    "claims-loop", connector=NOWHERE, executor="asyncio", plugins=[Claims("s3://nobody/asks", above=1000), Results()]
)
seen: list[Any] = []


@box.task
def take(data: bytes, label: str = "") -> int:
    seen.append((data, label))
    return len(data)


@box.task
def make(size: int) -> bytes:
    return b"m" * size


@box.task
def again(data: bytes) -> bytes:
    if current().task.run_count == 0:
        raise Retry(delay=5)
    return data


@box.task
def other(page: Any) -> Any:
    if current().task.run_count == 0:
        raise Retry(kwargs={"page": seen[0]})
    return page


@box.task
def both(data: bytes) -> None:
    take.push(data, "child")
    current().commit.push(take, data, "committed")


@loop.task
async def echo(data: str) -> str:
    return data


@pytest.fixture(autouse=True)
def fresh() -> None:
    seen.clear()


def test_a_task_gets_its_values_and_its_caller_the_result_as_if_nothing_were_between() -> None:
    with capture() as queue:
        pushed, made = take.push(b"x" * 50_000, "hi"), make.push(50_000)
        (first, _) = queue.pushed
        assert list(first.kwargs["data"]) == ["claim of 50.0 kB"] and first.kwargs["label"] == "hi"
        queue.drain()
        assert seen == [(b"x" * 50_000, "hi")]
        assert pushed.result() == 50_000 and made.result() == b"m" * 50_000
        assert made.state() == "success" and made.outcome().lack[0] == "claims"  # looking reads nothing


def test_what_is_small_is_pushed_and_kept_as_ever() -> None:
    with capture() as queue:
        pushed, made = take.push(b"x" * 100, "hi"), make.push(100)
        assert queue.pushed[0].kwargs == {"data": b"x" * 100, "label": "hi"}
        queue.drain()
        assert pushed.result() == 100 and made.result() == b"m" * 100 and not made.outcome().lack


def test_a_bulk_push_mixes_large_and_small() -> None:
    with capture() as queue:
        take.push_many({"data": b"%d" % n * 400, "label": str(n)} for n in range(90, 110))
        queue.drain()
    assert sorted(seen, key=lambda one: int(one[1])) == [(b"%d" % n * 400, str(n)) for n in range(90, 110)]


def test_a_retry_gets_its_values_again() -> None:
    with capture() as queue:
        pushed = again.push(b"r" * 5000)
        queue.drain()
        assert pushed.result() == b"r" * 5000


def test_values_go_through_flows() -> None:
    with capture() as queue:
        run = chain(make.s(40_000), take.s()).start()
        queue.drain()
        assert run.result() == 40_000 and seen == [(b"m" * 40_000, "")]


def test_children_and_commits_of_a_task_have_claims_of_their_own() -> None:
    with capture() as queue:
        both.push(b"b" * 5000)
        queue.drain()
    assert sorted(label for _, label in seen) == ["child", "committed"] and all(len(data) == 5000 for data, _ in seen)


def test_tasks_on_an_event_loop_get_their_values_too() -> None:
    with capture() as queue:
        pushed = echo.push("é" * 5000)
        queue.drain()
        assert asyncio.run(pushed.aresult()) == "é" * 5000


def test_data_that_looks_like_a_claim_stays_data() -> None:
    """Not even in the next run of a task that has claims: no foreign data knows the seal of a push."""
    with capture() as queue:
        take.push(b"secret" * 1000)
        (claim,) = queue.pushed[0].kwargs["data"].values()
        looks = {"claim of 6.0 kB": claim}
        seen.append(looks)
        first, second = other.push(b"x" * 5000), take.push(looks)
        queue.drain()
        assert first.result() == looks
        assert second.result() == 1


def test_a_task_that_is_due_after_its_claims_are_gone_is_refused() -> None:
    for late in ({"delay": timedelta(days=7)}, {"at": 4e9}):
        with (
            capture() as queue,
            pytest.raises(ArgumentsError, match=r"kept for 604,800 s: they would be gone. Raise Claims\(ttl"),
        ):
            take.options(**late).push(b"x" * 5000)
        assert not queue.pushed
    with capture() as queue:
        take.options(delay=timedelta(days=8)).push(b"small")
        assert len(queue.pushed) == 1


def test_a_value_beyond_the_limit_is_refused_and_a_result_said_to_be() -> None:
    with capture() as queue:
        with pytest.raises(
            ClaimTooLarge, match=r"argument of take has 100,021 bytes; Claims\(limit=…\) is 100,000"
        ) as told:
            take.push(b"x" * 100_000)
        assert isinstance(told.value, PayloadTooLarge) and not queue.pushed
        pushed, larger = make.push(120_000), make.push(2_000_000)
        queue.drain()
        assert len(pushed.result()) == 120_000  # it fits where results are kept
        with pytest.raises(ResultTooLarge, match="2,000,"):
            larger.result()


def test_what_cannot_be_serialized_is_named_as_without_claims() -> None:
    with capture(), pytest.raises(EncodeError, match=r'kwargs\["label"\]: a value of type object'):
        take.push(b"x" * 5000, label=object())  # type: ignore[arg-type]


def work(data: bytes) -> None: ...


def queue_at(place: str, folder: Path, **options: Any) -> Any:
    queue = Queue("claims-at", connector=f"sqlite:///{folder}/queue.db", plugins=[Claims(place, above=1000, **options)])
    return queue, queue.task(work)


def test_a_place_that_cannot_be_written_refuses_the_push_and_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    queue, task = queue_at(f"file://{tmp_path}/file/claims", tmp_path)
    with pytest.raises(
        ClaimRefused, match=r"5\.0 kB cannot be put into file://.*/file/claims: NotADirectoryError.*Nothing was pushed"
    ):
        task.push(b"x" * 5000)
    with queue.broker.connector() as store:
        assert store.counts("claims-at").ready == 0


def test_an_object_store_that_does_not_answer_refuses_the_push(tmp_path: Path) -> None:
    pytest.importorskip("s3fs")
    options = {
        "endpoint_url": "http://127.0.0.1:9",
        "key": "a",
        "secret": "b",
        "config_kwargs": {"retries": {"max_attempts": 0}},
    }
    with pytest.raises(ClaimRefused, match=r"cannot be put into s3://claims/x: .*Nothing was pushed"):
        queue_at("s3://claims/x", tmp_path, options=options)[1].push(b"x" * 5000)


def test_a_value_is_on_disk_before_the_task_is_in_the_queue(tmp_path: Path) -> None:
    queue_at(f"file://{tmp_path}/claims", tmp_path)[1].push(b"x" * 5000)
    assert [path.stat().st_size // 1000 for path in (tmp_path / "claims").glob("*/*")] == [5]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"place": "/srv/claims"}, "place is '/srv/claims'; expected \"file:///folder\""),
        ({"place": "file://srv/../etc"}, "expected the absolute path of a folder, without .."),
        ({"place": "s3://"}, "which names no folder"),
        ({"place": "ftp://ada:secret@host/x"}, "with a password in it"),
        ({"place": "store", "limit": 20_000_000}, "from 512 to 8,388,608, for a store holds no larger record"),
        ({"place": "memory://x", "above": 5}, "above is 5; expected bytes, from 512"),
        ({"place": "memory://x", "ttl": 0}, "ttl is 0; expected seconds from 1 on"),
        ({"place": "file:///srv/x", "options": {"a": 1}}, "options are for places of fsspec"),
        ({"place": "memory://x", "sweep": 1}, "sweep is 1; expected True or False"),
    ],
)
def test_wrong_options_are_refused_where_they_are_written(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as told:
        Claims(**options)
    assert said in str(told.value) and "secret" not in str(told.value)


def test_a_result_that_a_plugin_keeps_which_is_not_here_says_which() -> None:
    """A program whose queue does not name the plugin, and one that names it."""
    blind = Queue("claims-box", connector=NOWHERE, plugins=[Results()])
    with capture() as queue:
        made = make.push(50_000)
        queue.drain()
        with pytest.raises(
            ResultUnreadable, match=r'does not name here: Use\("claims"\), or Claims\(\) of regiment_claims'
        ):
            handle(blind, made.id).result(0)


def test_a_schedule_whose_arguments_would_be_claims_is_refused() -> None:
    clock = Queue("claims-clock", connector=NOWHERE, plugins=[Claims("memory://clock", above=1000)])
    task = clock.task(work)
    with pytest.raises(ConfigError, match="so large that Claims"):
        encoded(task, schedule("0 9 * * *", kwargs={"data": b"x" * 5000}))
