"""A thread that asks a store, one thing after the other. Nobody who stops the process waits for a page; for an act, until it is done."""

from __future__ import annotations

import atexit
import queue
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")


class _Job(NamedTuple):
    work: Callable[[], Any]
    answer: Future[Any]
    act: bool


class Asking:
    """One thread, which begins with the first question."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._acts = 0
        self._idle = threading.Condition(self._lock)
        self._over = False

    def submit(self, work: Callable[[], T], *, act: bool = False) -> Future[T]:
        """Have the thread do it. With `act` it changes something, and is not left half done by the end of the process."""
        answer: Future[T] = Future()
        with self._lock:
            if self._over:
                answer.cancel()
                return answer
            if self._thread is None:
                self._thread = threading.Thread(
                    target=_serve, args=(self._jobs, self._done), name=self._name, daemon=True
                )
                self._thread.start()
                atexit.register(_stop, weakref.ref(self))
            self._acts += act
        self._jobs.put(_Job(work, answer, act))
        return answer

    def _done(self, job: _Job) -> None:
        with self._lock:
            self._acts -= job.act
            self._idle.notify_all()

    def stop(self) -> None:
        """Take no more questions, and wait for the acts that are under way or wait."""
        with self._lock:
            self._over = True
            self._idle.wait_for(lambda: not self._acts)
        self._jobs.put(None)


def _stop(asking: weakref.ref[Asking]) -> None:
    if (there := asking()) is not None:
        there.stop()


def _serve(jobs: queue.SimpleQueue[_Job | None], done: Callable[[_Job], None]) -> None:
    while (job := jobs.get()) is not None:
        if job.answer.set_running_or_notify_cancel():
            try:
                job.answer.set_result(job.work())
            except BaseException as error:
                job.answer.set_exception(error)
        done(job)
