"""Threads that run jobs. They are daemons and never joined, so a thread that hangs does not keep the process alive."""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any

MOST = 1024
"""The most slots that an executor may have; a worker's page has room for no more."""


def count_problem(option: str, value: object) -> list[str]:
    """The problem of a number of slots, if it has one."""
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST:
        return []
    return [f"{option} is {value!r}; expected a whole number from 1 to {MOST:,}"]


class Crew:
    """At most `most` threads; a new one starts if there is a job and no idle thread. One thread hands out the jobs."""

    def __init__(self, most: int, name: str) -> None:
        self._most, self._name = most, name
        self._jobs: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self._idle: list[None] = []
        self._ended: list[list[int]] = []
        self._given = 0

    def run(self, job: Callable[[], object]) -> None:
        """Run `job` in a thread of the crew; it must not raise."""
        self._given += 1
        self._jobs.put(job)
        try:
            self._idle.pop()
        except IndexError:
            if len(self._ended) < self._most:
                ended = [0]
                self._ended.append(ended)
                name = f"{self._name}-{len(self._ended)}"
                threading.Thread(target=self._work, args=(ended,), name=name, daemon=True).start()

    @property
    def busy(self) -> int:
        """Jobs that have not ended."""
        return self._given - sum(ended[0] for ended in self._ended)

    def _work(self, ended: list[int]) -> None:
        get, idle = self._jobs.get, self._idle.append
        while True:
            job = get()
            try:
                job()
            except BaseException:
                # Nobody knows what the job left undone; a worker that went on would keep the slot busy without end.
                traceback.print_exc()
                sys.stderr.flush()
                os._exit(1)
            del job
            ended[0] += 1
            idle(None)


class CrewExecutor(ThreadPoolExecutor):
    """A crew as an event loop's default executor: asyncio accepts only this class, and would join its threads."""

    def __init__(self, crew: Crew) -> None:
        super().__init__(max_workers=1)
        self._crew = crew

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run `fn` in a thread of the crew."""
        future: Future[Any] = Future()

        def job() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                value = fn(*args, **kwargs)
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(value)

        self._crew.run(job)
        return future
