"""TrioExecutor sits the examination, and lends tasks its loop."""

from __future__ import annotations

import threading

import pytest
import trio
from regiment_trio.executor import TrioExecutor

from regiment_testing.contracts import ExecutorContract
from regiment_testing.contracts.executor import Trials


class TestTrioExecutor(ExecutorContract):
    @pytest.fixture
    def executor(self) -> TrioExecutor:
        return TrioExecutor(slots=4)


def test_tasks_meet_on_one_loop() -> None:
    """Two attempts, each in a thread, that wait for each other in async functions of one loop."""
    here: list[trio.Event] = []
    loops: set[trio.lowlevel.TrioToken] = set()

    async def meet() -> None:
        loops.add(trio.lowlevel.current_trio_token())
        here.append(trio.Event())
        if len(here) == 2:
            for event in here:
                event.set()
        with trio.fail_after(20):
            await here[0].wait()

    trials = Trials(2, 2, lambda number: trio.from_thread.run(meet))
    TrioExecutor(slots=2).run(trials)
    assert sum(trials.runs.values()) == 2
    assert len(here) == 2 and len(loops) == 1


def test_an_attempt_that_was_written_off_is_not_waited_for() -> None:
    hangs, over = threading.Event(), threading.Event()

    def work(number: int) -> None:
        if number == 1:
            hangs.set()
            over.wait(30)
        else:
            hangs.wait(30)  # what is written off has begun

    trials = Trials(2, 2, work)
    trials.early_end, trials.written_off = True, 1
    TrioExecutor(slots=2).run(trials)
    assert trials.running == 1, "it came back while the other attempt hung"
    over.set()


def test_an_error_of_the_worker_ends_the_run() -> None:
    """An attempt raises nothing of its task: what comes out of it is not to be swallowed."""

    def broken(number: int) -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        TrioExecutor(slots=2).run(Trials(2, 1, broken))


@pytest.mark.parametrize("slots", [0, 1025, True, "4"])
def test_a_number_of_slots_that_cannot_be_is_said_in_words(slots: object) -> None:
    [problem] = TrioExecutor.check({"slots": slots})
    assert problem == f"slots is {slots!r}; expected a whole number from 1 to 1,024"
