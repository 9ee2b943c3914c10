"""Threads that each wait for one task of the cluster. They are daemons: one that waits keeps no process alive."""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Callable
from queue import SimpleQueue

Job = Callable[[], object]


class Crew:
    """At most `most` threads, started as they are needed; `join` ends them when their jobs have ended."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._threads: list[threading.Thread] = []

    def run(self, job: Job) -> None:
        """Run `job` in a thread of the crew; it must not raise."""
        self._jobs.put(job)
        if not self._idle.acquire(blocking=False) and len(self._threads) < self._most:
            name = f"regiment-task-{len(self._threads) + 1}"
            thread = threading.Thread(target=self._work, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def join(self, given_up: Callable[[], int]) -> None:
        """Wait until all jobs have ended, except for as many as were given up."""
        for _ in self._threads:
            self._jobs.put(None)
        while sum(thread.is_alive() for thread in self._threads) > given_up():
            next(thread for thread in self._threads if thread.is_alive()).join(0.05)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except BaseException:
                # Nobody knows what the job left undone; a worker that went on would keep the slot busy without end.
                traceback.print_exc()
                sys.stderr.flush()
                os._exit(1)
            del job
            self._idle.release()
