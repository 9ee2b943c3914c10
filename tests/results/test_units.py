"""Options, records, errors and what a push says of its result, without a worker."""

from __future__ import annotations

import asyncio
import pickle
import time
import traceback
import uuid
from pathlib import Path
from typing import Any

import pytest

from regiment import ArgumentsError, ConfigError, DecodeError, Pushed, Queue, Use, Worker, WorkerConfig
from regiment.contracts import Keep, Record
from regiment.outcome import Outcome as Ended
from regiment.task import Task
from regiment_local.memory.connector import MemoryConnector
from regiment_results import (
    Handle,
    ResultGone,
    ResultQueue,
    Results,
    ResultsOff,
    ResultTimeout,
    ResultUnreadable,
    TaskFailed,
    TaskTimedOut,
    WouldBlock,
    aas_completed,
    as_completed,
    await_all,
    handle,
    wait_all,
)
from regiment_results.extension import Keeping
from regiment_results.records import FINAL, FORMAT, error_of, key_of, note_rank, rank_of, read_note
from regiment_testing import capture
from regiment_testing.contracts import ExtensionContract


class TestExamination(ExtensionContract):
    @pytest.fixture
    def extension(self) -> type[Any]:
        return Keeping

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {"ttl": 60.0, "history": 2}


jobs = ResultQueue("jobs", plugins=[Results(ttl=60, history=2)], max_retries=1, retry_on=(KeyError,))
chosen = Queue("chosen", plugins=[Results(by="push")])
plain = Queue("plain")


@jobs.task
def double(x: int) -> int:
    return 2 * x


@jobs.task
def never(x: int) -> None:
    raise KeyError(x)


@jobs.task
def odd() -> Any:
    return {"inner": [object()]}


@jobs.task
def huge() -> bytes:
    return b"x" * 2_000_000


@jobs.task
def ugly() -> None:
    raise Ugly("\ud800 and \x1b[31m")


class Ugly(Exception):
    def __str__(self) -> str:
        return "\ud800" if self.args else ""


@chosen.task(name="double")
def twice(x: int) -> int:
    return 2 * x


@plain.task(name="double")
def other(x: int) -> int:
    return 2 * x


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"ttl": 0}, "ttl is 0; expected seconds above 0, at most 100 years, or a result would be gone"),
        ({"failure_ttl": -1}, "failure_ttl is -1; expected seconds above 0"),
        ({"wait_ttl": float("nan")}, "wait_ttl is nan; expected seconds above 0"),
        ({"limit": 0}, "limit is 0; expected bytes"),
        ({"history": -1}, "history is -1; expected a whole number of tries"),
        ({"track": "yes"}, "track is 'yes'; expected True or False"),
        ({"by": "task"}, "by is 'task'; expected \"queue\""),
    ],
)
def test_a_wrong_option_is_refused_in_words_where_it_is_written(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Results(**options)
    assert said in str(refused.value)
    with pytest.raises(ConfigError, match="extension 'results'"):
        _ = Queue("jobs", plugins=[Use("results", **options)], connector="memory").broker


def test_a_result_is_there_after_drain_and_a_wait_before_it_raises() -> None:
    with capture() as queue:
        pushed = double.push(x=4)
        assert isinstance(pushed, Handle) and isinstance(pushed, Pushed) and pushed.state() == "waiting"
        with pytest.raises(WouldBlock, match=r"Call drain\(\) first"):
            pushed.result()
        queue.drain()
        assert pushed.result() == 8 and pushed.state() == "success" and pushed.cancel() is False
        assert jobs.handle(pushed.id).result() == 8
        with pytest.raises(ResultGone):
            jobs.handle("never").result()


def test_a_failure_comes_back_by_name_and_text_with_its_tries() -> None:
    with capture() as queue:
        failed = never.push(x=7)
        queue.drain()
        with pytest.raises(TaskFailed) as raised:
            failed.result()
        error = raised.value
        assert (
            error.is_a(KeyError) and error.is_a(LookupError) and error.is_a("KeyError") and not error.is_a(ValueError)
        )
        assert error.runs == 2 and error.queue == "jobs" and error.id == failed.id and error.message == "7"
        assert "in never" in "".join(traceback.format_exception(error))
        assert [one.runs for one in failed.history()] == [1]
        again = pickle.loads(pickle.dumps(error))
        assert str(again) == str(error) and again.is_a(KeyError) and "in never" in str(again.__cause__)
        failed.forget()
        assert failed.state() == "unknown" and failed.history() == []


def test_a_text_that_no_serializer_takes_is_kept_as_escapes() -> None:
    with capture() as queue:
        failed = ugly.push()
        queue.drain()
        with pytest.raises(TaskFailed, match=r"\\ud800"):
            failed.result()


def test_what_cannot_be_kept_is_said_and_the_success_stands(caplog: pytest.LogCaptureFixture) -> None:
    with capture() as queue:
        refused, large = odd.push(), huge.push()
        queue.drain()
        queue.assert_none_dead()
        with pytest.raises(ResultUnreadable, match=r"\[.inner.\]\[0\].*type object"):
            refused.result()
        with pytest.raises(Exception, match=r"limit is 1,048,576. Keep it elsewhere and return where it is"):
            large.result()
    assert [one.message for one in caplog.records].count("result.refused") == 2


def test_only_pushes_that_ask_for_it_keep_a_result_by_push() -> None:
    with capture() as queue:
        without, wanted, long = (
            twice.push(x=1),
            twice.options(result=True).push(x=2),
            twice.options(result=60).push(x=3),
        )
        queue.drain()
        assert wanted.result() == 4 and long.result() == 6  # type: ignore[attr-defined]
        with pytest.raises(ResultsOff, match="result=True"):
            without.result()  # type: ignore[attr-defined]
        silent = double.options(result=False).push(x=1)
        queue.drain()
        with pytest.raises(ResultsOff):
            silent.state()
        with pytest.raises(ArgumentsError, match="expected True, False, or seconds above 0"):
            double.options(result=-3).push(x=1)
        with pytest.raises(ArgumentsError, match='no push option "result"'):
            other.options(result=True)


def test_a_handle_of_a_queue_without_results_is_refused_at_once() -> None:
    with capture():
        with pytest.raises(ResultsOff, match=r'queue "plain" keeps no results; name the extension'):
            handle(plain, "id")
        with pytest.raises(ArgumentsError, match="expected a Queue or a Worker class"):
            handle("plain", "id")  # type: ignore[arg-type]
        assert type(other.push(x=1)) is Pushed


class Without(MemoryConnector):
    """A store that keeps no effects."""

    capabilities = MemoryConnector.capabilities._replace(extras=frozenset())


class Count(Worker):
    config = WorkerConfig(name="count", plugins=[Results()])

    def work(self, task: Task) -> int:
        return len(task.kwargs)


def test_a_worker_class_keeps_results_too() -> None:
    with capture() as queue:
        pushed = Count.push(a=1, b=2)
        queue.drain()
        assert handle(Count, pushed.id).result() == 2


def test_a_store_without_the_extra_is_refused_at_the_first_push(tmp_path: Path) -> None:
    queue = Queue("jobs", plugins=[Results()], connector=Use(f"{__name__}:Without"))
    with pytest.raises(ConfigError, match=r'does not keep "effects", which the plugin results needs'):
        _ = queue.broker


def test_a_later_push_with_the_same_id_outranks_an_earlier_outcome_and_no_note_an_outcome() -> None:
    assert note_rank(2e9) < FINAL <= rank_of(1e9) < rank_of(1e9 + 0.001) < 2**53
    assert rank_of(float("inf")) == FINAL and rank_of(-5) == FINAL and rank_of(1e300) < 2**53


@pytest.mark.parametrize(
    "value", [b"", b"[]", b"{}", b'[2, "waiting", null]', b'[1, "gone", null]', b"\xff", b"[" * 100_000]
)
def test_a_note_that_is_none_is_an_error_in_words(value: bytes) -> None:
    with pytest.raises(DecodeError, match="the note is"):
        read_note(value)


def test_an_outcome_that_cannot_be_read_here_says_so() -> None:
    broker = Queue("jobs", plugins=[Results()], connector=Use("memory", name=uuid.uuid4().hex)).broker
    made = handle(broker, "x")
    made.keep(Record(b"damaged", 1, FINAL))
    with pytest.raises(ResultUnreadable, match="cannot be read here"):
        made.result()


def test_errors_have_the_names_of_their_classes() -> None:
    found = error_of(Ended("failure", error=FileNotFoundError(2, "none"), text="tb"))
    assert found is not None and found[0] == "FileNotFoundError" and found[1][:2] == ["FileNotFoundError", "OSError"]
    assert issubclass(TaskTimedOut, TaskFailed)


def test_a_handle_is_pickled_as_what_was_pushed() -> None:
    with capture():
        pushed = double.push(x=1)
        assert pickle.loads(pickle.dumps(pushed)) == Pushed(pushed.id, "jobs", False)


def ended_with(handle: Any, value: object) -> Handle[Any]:
    """A worker has ended this task."""
    where = handle.queue, key_of(handle.id)
    record = [FORMAT, "success", value, None, 1, 0.0, 0.0, "host:1"]
    keep = Keep(where[1], handle.broker.codec.pack(record, where), 60.0, rank_of(time.time()))
    with handle.broker.connector() as connector:
        connector.apply(where[0], [keep], token=uuid.uuid4().hex)  # type: ignore[attr-defined]
    return handle


def test_who_gives_a_wait_no_time_gets_what_is_there() -> None:
    queue = ResultQueue("atonce", connector=Use("memory", name=uuid.uuid4().hex))

    handles: list[Any] = [queue.options(name="one").push() for _ in range(3)]
    with pytest.raises(ResultTimeout):
        handles[0].result(timeout=0)
    with pytest.raises(ResultTimeout):
        asyncio.run(handles[0].aresult(timeout=0))
    for number, pushed in enumerate(handles):
        ended_with(pushed, number)
    assert handles[0].result(timeout=0) == 0
    assert asyncio.run(handles[1].aresult(timeout=0)) == 1
    assert queue.handle(handles[2].id).result(timeout=0) == 2
    queue.broker.close()


def test_what_has_ended_is_given_on_a_loop_also_when_the_time_is_over() -> None:
    queue = ResultQueue("overdue", connector=Use("memory", name=uuid.uuid4().hex))

    handles = [ended_with(queue.options(name="one").push(), number) for number in range(3)]
    assert wait_all(handles, timeout=20) == [0, 1, 2]
    assert asyncio.run(await_all(handles, timeout=0)) == [0, 1, 2]

    async def slow() -> list[int]:
        found = []
        async for done in aas_completed([queue.handle(one.id) for one in handles], timeout=2):
            found.append(done.result(timeout=0))
            time.sleep(1.2 if len(found) < 3 else 0)  # whoever holds up the loop
        return found

    assert sorted(asyncio.run(slow())) == [0, 1, 2]
    queue.broker.close()


def test_what_was_not_there_may_come_and_cannot_be_cancelled() -> None:
    queue = ResultQueue("later", connector=Use("memory", name=uuid.uuid4().hex))
    early = queue.handle("order-1")
    with pytest.raises(ResultGone):
        early.result(timeout=20)
    assert early.cancel() is False, "a notice that nobody would take off the board"
    assert ended_with(early, 7).result(timeout=20) == 7
    queue.broker.close()


def test_a_wait_for_many_refuses_one_handle_and_what_is_none_in_words() -> None:
    queue = ResultQueue("many", connector=Use("memory", name=uuid.uuid4().hex))
    one: Any = queue.options(name="one").push()
    wrong: list[Any] = [one, ["an id"], [one, None]]
    for given in wrong:
        with pytest.raises(TypeError, match="expected handles, in a list"):
            wait_all(given)
        with pytest.raises(TypeError, match="expected handles, in a list"):
            asyncio.run(await_all(given))
    errors: Any = "ignore"
    with pytest.raises(ValueError, match='errors is \'ignore\'; expected "raise" or "return"'):
        wait_all([one], errors=errors)
    queue.broker.close()


def test_a_wait_for_what_was_forgotten_since_it_was_pushed_ends_at_once() -> None:
    queue = ResultQueue("gone", connector=Use("memory", name=uuid.uuid4().hex))
    queue.task(double.function)
    pushed = queue.options(name="double").push(x=1)
    assert isinstance(pushed, Handle)
    pushed.forget()
    with pytest.raises(ResultGone):
        pushed.result(timeout=0)
    pushed._rank = rank_of(time.time() - 60)  # as if it had been pushed a minute ago
    with pytest.raises(ResultGone):
        pushed.result(timeout=600)
    with pytest.raises(ResultGone):
        asyncio.run(pushed.aresult(timeout=600))
    with pytest.raises(ResultGone):
        wait_all([pushed], timeout=600)
    queue.broker.close()


@pytest.mark.parametrize("timeout", ["5", -1, float("nan"), True, [5]])
def test_a_timeout_that_is_none_is_refused_in_words_wherever_it_is_given(timeout: Any) -> None:
    with capture():
        pushed: Any = double.push(x=1)
        for wait in (
            lambda: pushed.result(timeout),
            lambda: asyncio.run(pushed.aresult(timeout)),
            lambda: pushed.join(timeout),
            lambda: wait_all([pushed], timeout),
            lambda: list(as_completed([pushed], timeout)),
            lambda: asyncio.run(await_all([pushed], timeout)),
        ):
            with pytest.raises(ArgumentsError, match=r"timeout is .*; expected seconds, or None"):
                wait()
