"""regiment-dask without a cluster: the examinations, what is refused and in which words, and what is left behind."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

import pytest

from regiment import Fail, Queue, Retry, Timeouts, Use, Worker, WorkerConfig
from regiment.contracts import Executor, Killer
from regiment.task import Task
from regiment_cli.targets import application
from regiment_dask import Dask as UseDask
from regiment_dask.errors import DaskError, SchedulerAway
from regiment_dask.executor import Dask
from regiment_dask.killer import Dask as DaskKiller
from regiment_dask.link import Link
from regiment_dask.order import Raised, exception_of, fields_of, raised
from regiment_dask.there import _found
from regiment_runner.parts import check
from regiment_testing.contracts import ExecutorContract, KillerContract
from regiment_testing.contracts.executor import Trials

NOWHERE = "tcp://127.0.0.1:1"


class TestExecutor(ExecutorContract):
    @pytest.fixture
    def executor(self) -> Executor:
        return Dask(address=NOWHERE, concurrency=4)


class TestKiller(KillerContract):
    strikes = 50

    @pytest.fixture
    def killer(self) -> Killer:
        return DaskKiller()


def problems(**settings: Any) -> str:
    """What is refused of a queue with one task."""
    queue = Queue("far", executor=UseDask(address=NOWHERE), **settings)
    queue.task(module_task)
    return "\n".join(problem.text for problem in check(queue))


def module_task() -> None: ...


def test_a_queue_with_a_soft_limit_and_retries_is_accepted() -> None:
    assert problems(timeouts=Timeouts(soft=30), max_retries=3) == ""


def test_a_hard_limit_is_refused_because_nobody_could_end_the_task() -> None:
    text = problems(timeouts=Timeouts(30))
    assert "a hard limit (Timeouts(hard=30" in text and "cannot be enforced by killer 'dask' in executor 'dask'" in text
    assert "killers that can: none installed" in text
    assert (
        "a hard limit cannot be kept inside a Dask worker" in text and "set a soft one alone, Timeouts(soft=…)" in text
    )
    assert "cannot be enforced by killer 'process'" in problems(timeouts=Timeouts(30), killer="process")


def test_the_killer_of_the_cluster_is_refused_where_tasks_run_here() -> None:
    queue = Queue("near", killer="dask", timeouts=Timeouts(soft=3))
    assert "cannot be enforced by killer 'dask' in executor 'serial'" in check(queue)[0].text


def test_at_most_once_is_refused() -> None:
    assert 'delivery is "at_most_once", which executor "dask" cannot promise' in problems(delivery="at_most_once")


def test_hooks_that_would_prepare_the_wrong_process_are_refused() -> None:
    queue = Queue("far", executor=UseDask(address=NOWHERE))
    queue.on("initialize")(module_task)
    assert "the hook initialize would run in regiment's own process" in check(queue)[0].text


def test_a_worker_class_and_main_and_coroutines_are_refused() -> None:
    class Far(Worker):
        config = WorkerConfig("far", executor=UseDask(address=NOWHERE))

        def work(self, task: Task) -> None: ...

    assert 'Far: executor "dask" runs the functions of a Queue' in check(application(Far))[0].text

    queue = Queue("far", executor=UseDask(address=NOWHERE))

    def inner() -> None: ...

    inner.__qualname__, inner.__module__ = "inner", "__main__"
    queue.task(inner)
    assert "task 'inner' is defined in __main__" in check(queue)[0].text

    async def awaits() -> None: ...

    awaits.__qualname__ = "awaits"
    queue = Queue("far", executor=UseDask(address=NOWHERE))
    queue.task(awaits)
    assert "async def needs an executor that awaits" in check(queue)[0].text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"address": "localhost"}, "expected that of a Dask scheduler, as tcp://host:8786"),
        ({"concurrency": 0}, "concurrency is 0; expected a whole number from 1 to 1,024"),
        ({"concurrency": 2000}, "concurrency is 2000; expected"),
        ({"connect_timeout": 0.0}, "connect_timeout is 0.0; expected a positive number"),
        ({"adress": NOWHERE}, 'has no option "adress". Did you mean "address"?'),
    ],
)
def test_wrong_options_are_refused_in_words(options: dict[str, Any], words: str) -> None:
    assert words in check(Queue("far", executor=Use("dask", **options)))[0].text


def test_where_no_scheduler_answers_the_error_says_where_and_is_not_asked_for_again_at_once() -> None:
    link, before = Link(NOWHERE, 0.5), set(threading.enumerate())
    with pytest.raises(SchedulerAway, match=f"no Dask scheduler answers at {NOWHERE} within 0.5 s"):
        link.client()
    began = time.monotonic()
    with pytest.raises(SchedulerAway):
        link.client()
    assert time.monotonic() - began < 0.4
    assert set(threading.enumerate()) <= before
    with pytest.raises(
        SchedulerAway, match=r"no address is given; expected Dask\(address=…\) or DASK_SCHEDULER_ADDRESS"
    ):
        Link(None, 0.5).client()


def test_no_thread_is_left_after_a_run() -> None:
    before = set(threading.enumerate())
    executor = Dask(address=NOWHERE, concurrency=4)
    executor.run(Trials(4, 20, lambda number: time.sleep(0.01)))
    executor.close()
    assert set(threading.enumerate()) == before


def test_a_process_that_was_forked_is_told_so() -> None:
    link = Link(NOWHERE, 0.5)
    link._pid = os.getppid()
    with pytest.raises(RuntimeError, match="this process was forked from a worker that is connected to Dask"):
        link.client()
    link.close()  # leaves alone what is the parent's


def test_a_module_that_is_not_there_is_named_and_what_to_do() -> None:
    with pytest.raises(DaskError, match=r"cannot import nowhere_at_all: .*Dask's workers need the application"):
        _found("nowhere_at_all", "x")
    with pytest.raises(DaskError, match="the module json has no nothing on this Dask worker"):
        _found("json", "nothing")


def test_an_argument_that_cannot_be_sent_is_named() -> None:
    with pytest.raises(DaskError, match="the argument lock of task 'x' is lock, which cannot be sent"):
        fields_of(Task("1", "q", "x", {"lock": threading.Lock()}, 0.0))
    assert fields_of(Task("1", "q", "x", {"values": range(3)}, 0.0))["kwargs"] == {"values": [0, 1, 2]}


class Twisted(Exception):
    """Pickles, and cannot be read back."""

    def __reduce__(self) -> Any:
        return int, ("no number",)


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("do not ask")


def back(error: BaseException) -> BaseException:
    """What arrives here of an exception that was raised there."""
    return exception_of(Raised(*tuple(raised(error, "tcp://there"))))


def test_whatever_is_raised_there_arrives_as_an_exception() -> None:
    assert isinstance(back(KeyError("k")), KeyError)
    assert "Twisted" in str(back(Twisted())) and isinstance(back(Twisted()), DaskError)
    assert "its text cannot be had" in raised(Mute(), "there").text
    retry = back(Retry(delay=3, kwargs={"a": 1}))
    assert isinstance(retry, Retry) and (retry.delay, retry.kwargs) == (3, {"a": 1})
    fail = back(Fail(reason="enough"))
    assert isinstance(fail, Fail) and fail.reason == "enough"
    assert isinstance(back(SystemExit(3)), SystemExit)
