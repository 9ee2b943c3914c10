"""regiment-executors: the examination, what is refused and in which words, and hooks where they belong."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from regiment import Queue, Timeouts, Use, Worker, WorkerConfig
from regiment.contracts import Executor
from regiment_cli.targets import application
from regiment_executors import Asyncio as UseAsyncio
from regiment_executors import Serial as UseSerial
from regiment_executors import Threaded as UseThreaded
from regiment_executors.loop import Asyncio
from regiment_executors.serial import Serial
from regiment_executors.threaded import Threaded
from regiment_runner.parts import check
from regiment_testing.contracts.executor import ExecutorContract, Trials


class TestSerial(ExecutorContract):
    @pytest.fixture
    def executor(self) -> Executor:
        return Serial()


class TestThreaded(ExecutorContract):
    @pytest.fixture
    def executor(self) -> Executor:
        return Threaded(threads=4)


class TestAsyncio(ExecutorContract):
    @pytest.fixture
    def executor(self) -> Any:
        made = Asyncio(concurrency=4)
        yield made
        made.close()


# Threads


def test_threads_are_started_as_they_are_needed() -> None:
    executor = Threaded(threads=500)
    trials = Trials(500, 3, lambda number: time.sleep(0.01))
    before = threading.active_count()
    executor.run(trials)
    assert threading.active_count() <= before + 3


def test_a_thread_that_hangs_keeps_no_program_from_ending() -> None:
    program = (
        "import threading, time\n"
        "from regiment_executors.crew import Crew\n"
        "Crew(1, 'x').run(lambda: time.sleep(60))\n"
        "time.sleep(0.1)\n"
    )
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)
    assert time.monotonic() - began < 20


def test_a_thousand_short_tasks_pass_a_long_one_that_has_the_other_thread() -> None:
    over = threading.Event()
    short: list[int] = []

    def work(number: int) -> None:
        if number == 1:
            assert over.wait(30)
        else:
            short.append(number)
            if len(short) == 1000:
                over.set()

    Threaded(threads=2).run(Trials(2, 1001, work))
    assert len(short) == 1000


# The loop


def test_hooks_are_called_on_the_loop_that_runs_the_tasks() -> None:
    executor, loops = Asyncio(concurrency=2), []

    async def note(*_: object) -> str:
        loops.append(asyncio.get_running_loop())
        return "answer"

    assert executor.call(note) == "answer"
    executor.run(Trials(2, 3, lambda number: None, note))
    assert executor.call(note, 1) == "answer"
    assert executor.call(lambda: "plain") == "plain"
    assert len({id(loop) for loop in loops}) == 1
    executor.close()
    executor.close()


def test_a_hook_is_called_on_the_loop_from_another_thread_too() -> None:
    executor, answers = Asyncio(concurrency=1), []

    async def on_the_loop() -> int | None:
        return threading.get_ident()

    async def task(number: int) -> None:
        await asyncio.to_thread(lambda: answers.append(executor.call(on_the_loop)))

    executor.run(Trials(1, 1, lambda number: None, task))
    executor.close()
    assert answers == [threading.main_thread().ident]


def test_a_stray_coroutine_that_exits_does_not_end_the_worker() -> None:
    executor, ran = Asyncio(concurrency=2), []

    async def stray() -> None:
        sys.exit(3)

    async def task(number: int) -> None:
        keep = asyncio.get_running_loop().create_task(stray())
        await asyncio.sleep(0.01)
        ran.append(keep.done())

    executor.run(Trials(2, 4, lambda number: None, task))
    executor.close()
    assert ran == [True] * 4


def test_closing_cancels_what_is_left_on_the_loop() -> None:
    executor, seen = Asyncio(concurrency=1), []

    async def background() -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    async def initialize() -> None:
        initialize.kept = asyncio.get_running_loop().create_task(background())  # type: ignore[attr-defined]
        await asyncio.sleep(0)

    executor.call(initialize)
    executor.close()
    assert seen == ["cancelled"]


# What is refused


def plain() -> None: ...


async def awaiting() -> None: ...


def problems(*functions: Any, **settings: Any) -> list[str]:
    queue = Queue("refusals", connector="memory:", **settings)
    for function in functions or (plain,):
        queue.task(function)
    return [problem.text for problem in check(queue)]


def test_the_choices_name_the_offers() -> None:
    assert UseSerial() == Use("serial")
    assert UseThreaded(threads=3) == Use("threaded", threads=3)
    assert UseAsyncio(concurrency=3) == Use("asyncio", concurrency=3)


@pytest.mark.parametrize("count", [0, -1, 1025, 10**6, 2.5, True, "many"])
@pytest.mark.parametrize(("name", "option"), [("threaded", "threads"), ("asyncio", "concurrency")])
def test_a_count_that_no_page_has_room_for_is_refused(name: str, option: str, count: Any) -> None:
    found = problems(executor=Use(name, **{option: count}))
    assert len(found) == 1
    assert repr(count) in found[0]
    assert "expected" in found[0]


@pytest.mark.parametrize("count", [1, 1024])
def test_a_count_within_the_bounds_is_taken(count: int) -> None:
    assert problems(executor=UseThreaded(threads=count)) == []
    assert problems(awaiting, executor=UseAsyncio(concurrency=count)) == []


def test_number_of_threads_of_a_million_is_refused() -> None:
    assert problems(number_of_threads=10**6) == ["threads is 1000000; expected a whole number from 1 to 1,024"]


def test_number_of_threads_beside_another_executor_is_refused() -> None:
    found = problems(awaiting, number_of_threads=4, executor="asyncio")
    assert found == [
        "number_of_threads is 4 and executor is 'asyncio'; number_of_threads is short for "
        'executor=Use("threaded", threads=…), set one of the two'
    ]


def test_a_negative_limit_is_refused() -> None:
    assert problems(timeouts=Timeouts(-3)) == [
        "timeouts.hard is -3; expected a positive number of seconds, at most 100 years, or None"
    ]


def test_a_killer_that_is_not_installed_is_refused_with_those_that_are() -> None:
    found = problems(killer="axe")
    assert found == ['no killer named "axe"; installed: coroutine, dask, process, thread.']


def test_a_hard_limit_that_the_killer_cannot_enforce_is_refused_with_those_that_can() -> None:
    found = problems(executor="threaded", killer="thread", timeouts=Timeouts(5))
    assert len(found) == 1
    assert found[0].endswith("cannot be enforced by killer 'thread' in executor 'threaded'; killers that can: process")


def test_a_soft_limit_that_the_killer_cannot_enforce_is_refused_with_those_that_can() -> None:
    found = problems(executor="threaded", timeouts=Timeouts(soft=5))
    assert len(found) == 1
    assert found[0].endswith("cannot be enforced by killer 'process' in executor 'threaded'; killers that can: thread")
    assert problems(executor="threaded", killer="thread", timeouts=Timeouts(soft=5)) == []


def test_a_soft_limit_on_plain_functions_under_asyncio_is_refused() -> None:
    settings = {"executor": "asyncio", "killer": "coroutine", "timeouts": Timeouts(soft=1, hard=2)}
    assert problems(awaiting, **settings) == []
    found = problems(plain, awaiting, **settings)
    assert len(found) == 1
    assert "cannot be enforced on plain:" in found[0]
    assert "make it async def, or set a hard limit alone" in found[0]


def test_the_limit_of_a_single_task_is_checked_too() -> None:
    queue = Queue("single", connector="memory:", executor="threaded", killer="thread")
    queue.task(timeout=5)(plain)
    found = [problem.text for problem in check(queue)]
    assert len(found) == 1
    assert found[0].startswith("task 'plain': a hard limit")


@pytest.mark.parametrize("executor", ["serial", "threaded"])
def test_coroutine_functions_need_an_executor_that_awaits(executor: str) -> None:
    class Crawl(Worker):
        config = WorkerConfig(name="crawl", connector="memory:", executor=executor)

        async def initialize(self) -> None: ...
        async def work(self, task: Any) -> None: ...

    assert [problem.text for problem in check(application(Crawl))] == [
        f"initialize, work: async def needs an executor that awaits; '{executor}' does not, executor=\"asyncio\" does"
    ]


def test_an_executor_of_a_stranger_with_too_many_slots_is_refused() -> None:
    found = problems(executor=Use(f"{__name__}:Vast"))
    assert found == [f"executor '{__name__}:Vast' has 5000 slots; expected 1 to 1,024"]


class Vast(Serial):
    def __init__(self) -> None:
        self.slots = 5000
