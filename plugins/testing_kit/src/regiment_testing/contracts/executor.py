"""The examination of an executor: every attempt that it takes runs once, as many at once as it declares, and it ends
cleanly.

class TestMine(ExecutorContract):
    @pytest.fixture
    def executor(self): return MyExecutor(threads=4)
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, get_args

import pytest

from regiment.contracts import AttemptLike, Executor, Place
from regiment_testing.contracts.examination import Examination

PATIENCE = 30.0
"""Seconds without a change after which a check gives up."""


class Trial:
    """An attempt whose work is a function; it notes where the work ran."""

    def __init__(self, source: Trials, slot: int, number: int) -> None:
        self.source, self.slot, self.number = source, slot, number

    def run(self) -> None:
        """Run here."""
        self.source.begin(self)
        try:
            self.source.work(self.number)
        finally:
            self.source.end(self)

    def run_on(self) -> None:
        """Run here; nothing follows."""
        self.run()

    async def arun(self) -> None:
        """Run on a loop; work that returns something to await is awaited."""
        self.source.begin(self)
        try:
            answer = self.source.awork(self.number)
            if hasattr(answer, "__await__"):
                await answer
        finally:
            self.source.end(self)


class Trials:
    """A source of `count` attempts for some number of slots. It checks how an executor uses it."""

    def __init__(
        self, slots: int, count: int, work: Callable[[int], Any], awork: Callable[[int], Any] | None = None
    ) -> None:
        self.slots, self.count, self.work, self.awork = slots, count, work, awork or work
        self.wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.ended = False
        self.written_off = 0
        self.early_end = False
        """True if it returns None while attempts still run."""
        self.drivers: set[int] = set()
        self.runs: Counter[int] = Counter()
        self.threads: set[int] = set()
        self.most = 0
        self.running = 0
        self._given = 0
        self._free = list(range(slots))
        self._changed = threading.Condition()

    def take(self, block: bool = True) -> AttemptLike | None:
        """The next attempt for a free slot."""
        self.drivers.add(threading.get_ident())
        with self._changed:
            while self._given < self.count and not self._free:
                if not block:
                    return None
                assert self._changed.wait(PATIENCE), "no slot came free: an attempt was taken and never ended"
            if self._given < self.count:
                self._given += 1
                return Trial(self, self._free.pop(), self._given)
            while self.running and not self.early_end:
                assert self._changed.wait(PATIENCE), "an attempt was started and never ended"
            self.ended = True
            return None

    def begin(self, trial: Trial) -> None:
        """Note a start."""
        with self._changed:
            self.runs[trial.number] += 1
            self.running += 1
            self.most = max(self.most, self.running)
            self.threads.add(threading.get_ident())

    def end(self, trial: Trial) -> None:
        """Note an end, which frees the slot."""
        with self._changed:
            self.running -= 1
            self._free.append(trial.slot)
            self._changed.notify_all()


class ExecutorContract(Examination):
    """Subclass it, give the fixture `executor`, and every promise of `regiment.contracts.Executor` is examined."""

    @pytest.fixture
    def executor(self) -> Executor:
        raise NotImplementedError("give the fixture `executor`: the one to examine, with few slots")

    def trials(self, executor: Executor, count: int, seconds: float = 0.0) -> Trials:
        """Attempts that sleep in the way of the executor's place."""

        async def asleep(number: int) -> None:
            await asyncio.sleep(seconds)

        return Trials(executor.slots, count, lambda number: time.sleep(seconds), asleep)

    def test_it_has_the_verbs_of_the_contract(self, executor: Executor) -> None:
        """It has `run`, and it declares place, default_killer, is_async, slots."""
        assert isinstance(executor, Executor)
        assert executor.place in get_args(Place)
        assert isinstance(executor.default_killer, str)
        assert isinstance(executor.is_async, bool)
        assert 1 <= executor.slots <= 1024

    def test_it_returns_when_there_is_nothing(self, executor: Executor) -> None:
        """The source ends at once."""
        trials = self.trials(executor, 0)
        executor.run(trials)
        assert trials.ended

    def test_each_attempt_runs_once(self, executor: Executor) -> None:
        """500 attempts are taken; each of them runs, and none runs twice."""
        trials = self.trials(executor, 500)
        executor.run(trials)
        assert trials.runs == Counter(range(1, 501))

    def test_one_thread_takes(self, executor: Executor) -> None:
        """Only the driver calls `take`."""
        trials = self.trials(executor, 50)
        executor.run(trials)
        assert len(trials.drivers) == 1

    def test_as_many_run_at_once_as_it_has_slots(self, executor: Executor) -> None:
        """Never more, and never fewer while there is work."""
        trials = self.trials(executor, executor.slots * 3, seconds=0.05)
        executor.run(trials)
        assert trials.most == executor.slots

    def test_a_slot_is_filled_again_while_another_is_busy(self, executor: Executor) -> None:
        """No attempt waits for the slowest one of a batch."""
        if executor.slots < 2:
            pytest.skip("one slot")
        over, done = threading.Event(), []

        def work(number: int) -> None:
            if number == 1:
                assert over.wait(20), "the others did not run while the first did"
            else:
                done.append(number)
                if len(done) == 30:
                    over.set()

        async def awork(number: int) -> None:
            if number == 1:
                while not over.is_set():
                    await asyncio.sleep(0.001)
            else:
                work(number)

        executor.run(Trials(executor.slots, 31, work, awork))
        assert len(done) == 30

    def test_it_runs_attempts_where_it_says(self, executor: Executor) -> None:
        """In the main thread or not, as `place` tells the killers."""
        trials = self.trials(executor, 20)
        executor.run(trials)
        main = threading.main_thread().ident
        assert (main in trials.threads) == (executor.place in ("main", "loop"))

    def test_it_waits_for_what_still_runs_when_the_source_has_ended(self, executor: Executor) -> None:
        """None ends the taking, not the attempts that were taken."""
        trials = self.trials(executor, executor.slots, seconds=0.1)
        trials.early_end = True
        executor.run(trials)
        assert trials.running == 0
        assert sum(trials.runs.values()) == executor.slots

    def test_what_take_raises_comes_out_of_run(self, executor: Executor) -> None:
        """The exception has to end the worker; if the executor swallows it, the worker spins or hangs."""
        trials = self.trials(executor, 3)

        def broken(block: bool = True) -> AttemptLike | None:
            raise SystemExit(3)

        trials.take = broken  # type: ignore[method-assign]
        with pytest.raises(SystemExit):
            executor.run(trials)

    def test_it_runs_again_after_it_has_ended(self, executor: Executor) -> None:
        """One run leaves nothing behind for the next."""
        for _ in range(3):
            trials = self.trials(executor, 20)
            executor.run(trials)
            assert sum(trials.runs.values()) == 20
