"""Strikes that race with the ends of tasks, as a supervisor would send them."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from regiment.contracts import Killer, Place
from regiment.errors import TaskTimeout
from regiment_runner.shared import page

HANDLERS = 0.00015
"""Seconds after the end of a task in which its handlers would run: longer than the latest strike is late."""


class Bed:
    """A page and a loop of short guarded tasks, which a second thread strikes as a supervisor would."""

    def __init__(self, path: Path, killer: Killer, place: Place) -> None:
        self.page, self.killer, self.place = page.Page(path, create=True), killer, place
        self.page.words[page.SLOTS] = 2
        self.at = page.slot_index(0)
        killer.install(self.page, place)

    def strike(self, number: int) -> None:
        """What `WorkerView.soft` does."""
        self.page.words[self.at + page.STRUCK] = number
        os.kill(os.getpid(), page.SOFT_SIGNAL)

    def struck_tasks(self, count: int, seconds: float) -> tuple[int, int, list[str]]:
        """Run `count` tasks as long as their limit, each struck as it ends: successes, timeouts, and what was wrong."""
        race = _Race(self, seconds)
        race.run(count)
        return race.successes, race.timeouts, race.wrong

    def struck_too_late(self, number: int) -> None:
        """A task that is struck when its end is noted, and once more when its guard is left."""
        self.page.start(0, number, b"", page.now())
        with self.killer.guard(0, 30.0, None):
            self.page.words[self.at] = number << 3 | page.ENDED
            self.strike(number)
            time.sleep(0.01)
        self.strike(number)
        time.sleep(0.01)

    async def astruck_too_late(self, number: int) -> None:
        """The same on a loop."""
        self.page.start(0, number, b"", page.now())
        with self.killer.guard(0, 30.0, None):
            self.page.words[self.at] = number << 3 | page.ENDED
            self.strike(number)
            await asyncio.sleep(0.01)
        self.strike(number)
        await asyncio.sleep(0.01)

    async def astruck_tasks(self, count: int, seconds: float) -> tuple[int, int, list[str]]:
        """The same on a loop, where a task waits as long as its limit."""
        tally, wrong = [0, 0], []
        loop = asyncio.get_running_loop()

        async def one(number: int) -> None:
            outcomes = 0
            try:
                self.page.start(0, number, b"", page.now())
                word = number << 3
                try:
                    with self.killer.guard(0, 30.0, None):
                        loop.call_later(seconds + (number % 21 - 10) * 1e-5, self.strike, number)
                        await asyncio.sleep(seconds)
                        self.page.words[self.at] = word | page.ENDED
                    tally[0] += 1
                    outcomes += 1
                except TaskTimeout:
                    self.page.words[self.at] = word | page.ENDED
                    tally[1] += 1
                    outcomes += 1
                await asyncio.sleep(HANDLERS)
            except BaseException as error:
                wrong.append(f"{number}: {type(error).__name__} outside the guarded region")
            if outcomes != 1:
                wrong.append(f"{number}: {outcomes} outcomes")

        for number in range(1, count + 1):
            await asyncio.create_task(one(number))
        return tally[0], tally[1], wrong


class _Hunter:
    """A second thread, which strikes a task at the moment it was told."""

    def __init__(self, strike: Callable[[int], None]) -> None:
        self._strike = strike
        self._orders: list[tuple[int, float]] = []
        self._ready = threading.Condition()
        self._thread = threading.Thread(target=self._hunt, daemon=True)
        self._thread.start()

    def order(self, number: int, at: float) -> None:
        """Strike this task at that time; the number 0 ends the hunt."""
        with self._ready:
            self._orders.append((number, at))
            self._ready.notify()

    def _hunt(self) -> None:
        while True:
            with self._ready:
                while not self._orders:
                    self._ready.wait()
                number, at = self._orders.pop()
            if not number:
                return
            while time.perf_counter() < at:
                pass
            self._strike(number)

    def end(self) -> None:
        """Let it go home."""
        self.order(0, 0.0)
        self.join()

    def join(self) -> None:
        """Wait until it is gone."""
        self._thread.join()


class _Race:
    """Tasks that last as long as their limit, against the strikes of a hunter."""

    def __init__(self, bed: Bed, seconds: float) -> None:
        self._bed, self._seconds = bed, seconds
        self._hunter = _Hunter(bed.strike)
        self.successes = self.timeouts = 0
        self.wrong: list[str] = []

    def run(self, count: int) -> None:
        """All tasks, and then the end of the hunt; what goes wrong is noted."""
        for step in (partial(self._run, count), self._hunter.end):
            try:
                step()
            except TaskTimeout:
                self.wrong.append("a strike landed between two tasks, or after the last")
        self._hunter.join()

    def _run(self, count: int) -> None:
        if self._bed.place == "main":
            self._all(count)
            return
        gone = threading.Event()

        def work() -> None:
            self._all(count)
            gone.set()

        worker = threading.Thread(target=work)
        worker.start()
        while not gone.wait(0.001):
            pass  # the main thread sees the signals
        worker.join()

    def _all(self, count: int) -> None:
        for number in range(1, count + 1):
            self._one(number)

    def _one(self, number: int) -> None:
        page_, word, outcomes = self._bed.page, number << 3, 0
        try:
            page_.start(0, number, b"", page.now())
            try:
                with self._bed.killer.guard(0, 30.0, None):
                    # Within a tenth of a millisecond of the end, before and after it in turn.
                    at = time.perf_counter() + self._seconds + (number % 21 - 10) * 1e-5
                    self._hunter.order(number, at)
                    _spin(self._seconds)
                    page_.words[self._bed.at] = word | page.ENDED
                self.successes += 1
                outcomes += 1
            except TaskTimeout:
                page_.words[self._bed.at] = word | page.ENDED
                self.timeouts += 1
                outcomes += 1
            _spin(HANDLERS)  # the handlers: nothing may land here
        except BaseException as error:
            self.wrong.append(f"{number}: {type(error).__name__} outside the guarded region")
        if outcomes != 1:
            self.wrong.append(f"{number}: {outcomes} outcomes")


def _spin(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass
