"""One store and the thread that speaks to it."""

from __future__ import annotations

import itertools
import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from regiment import log
from regiment.contracts import Connector
from regiment.errors import RegimentError, StoreUnavailable
from regiment_runner.shared.pause import Pause
from regiment_runner.shared.scopes import connect

URGENT, OF_WORKERS, NEWS, PAST = range(4)
"""The turns: renewals, what workers have done and left, what is told and heard of others, what was counted. What a full store refuses, as it does the presence of a tree, must hold up neither a lease nor what a dead worker leaves."""


class Store:
    """One store and the thread that speaks to it; when it is down, only its own work waits."""

    def __init__(self, spec: Mapping[str, Any], done: Callable[[], None]) -> None:
        self.spec, self._done = spec, done
        self.jobs: queue.PriorityQueue[Job] = queue.PriorityQueue()
        self.waiting: set[Any] = set()
        self.renew_at = 0.0
        self.announced, self.announced_at = b"", 0.0
        """Who was said to be here last, and when."""
        self.announce_at, self.announced_workers = float("inf"), 0
        """When to say so again for the sake of who has joined, and how many workers were said to be here."""
        self._numbers = itertools.count()
        self._connector: Connector | None = None
        self._throttle = log.Throttle()
        self._failing: tuple[Job, float] | None = None
        """What failed first, and since when."""
        self.thread = threading.Thread(target=self._run, name="regiment-store", daemon=True)
        self.thread.start()

    def ask(self, key: Any, do: Callable[[Connector], None], *, turn: int = OF_WORKERS, quiet: bool = False) -> None:
        """Do something when its turn comes; a job under a key that waits already is not added. `quiet`: nobody
        has to hear that it is done.
        """
        if key not in self.waiting:
            self.waiting.add(key)
            self.jobs.put(Job(turn, next(self._numbers), key, do, quiet))

    def _run(self) -> None:
        pause = Pause(PAUSE, LONGEST_PAUSE)
        while True:
            job = self.jobs.get()
            try:
                job.do(self._open())
            except Exception as error:
                self.jobs.put(job)  # in its old place: what a store refuses holds up only what comes after it
                self._failed(job, error)
                time.sleep(pause())
            else:
                pause.over()
                self.waiting.discard(job.key)
                self._succeeded(job)
                if not job.quiet:
                    self._done()

    def _open(self) -> Connector:
        if self._connector is None:
            self._connector = connect(self.spec, "keep")
        return self._connector

    def _failed(self, job: Job, error: Exception) -> None:
        self._failing = self._failing or (job, time.monotonic())
        if self._throttle() is None:
            return
        if isinstance(error, StoreUnavailable):
            log.event(logging.ERROR, "connector.lost", error=str(error))
        else:
            # What our own errors say is enough; of any other one the place counts.
            told = None if isinstance(error, RegimentError) else error
            log.event(logging.ERROR, "keeper.error", error=str(error), exc_info=told)

    def _succeeded(self, job: Job) -> None:
        if self._failing is not None and self._failing[0] is job:
            seconds = round(time.monotonic() - self._failing[1], 1)
            log.event(logging.WARNING, "connector.recovered", seconds=seconds)
            self._failing = None


class Job(NamedTuple):
    """Something to do at a store: by its turn, those of one turn in the order in which they were asked for."""

    turn: int
    number: int
    key: Any
    do: Callable[[Connector], None]
    quiet: bool = False


PAUSE, LONGEST_PAUSE = 0.05, 1.0
"""Seconds before a job that failed is tried again: after the first time, and at most."""
