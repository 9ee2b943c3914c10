"""How a driver that has nothing to start waits: for its store, for the next settlement, and for the hook of starvation."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

from regiment import log
from regiment.contracts import Counts
from regiment.errors import Control, Respawn, Stop, StoreUnavailable
from regiment_runner.worker.fetching import fetched
from regiment_runner.worker.lease import Hold
from regiment_runner.worker.runtime import Runtime

PATIENCE = 1.0
"""Seconds without a task after which a worker that ends when nothing is left says what it still waits for."""


class Waiting:
    """The sleep of the driver. `end` ends this process (`respawn`), or all workers of its target."""

    def __init__(self, runtime: Runtime, hold: Hold, burst: bool, end: Callable[[bool], None]) -> None:
        self._runtime, self._config, self._hold, self._end = runtime, runtime.config, hold, end
        self._recheck = min(self._config.recheck, 0.1) if burst else self._config.recheck
        self._told = False
        """True if this worker has said what it waits for."""
        self.next_due: float | None = None
        """When, on the monotonic clock, the first delayed task of the queue is due."""
        self.last_task = time.monotonic()
        """When something was settled last."""

    def for_a_task(self, most: float, idle: bool) -> None:
        """Wait at most so many seconds until the store may have a task, or the worker is woken; `idle`: nothing runs."""
        hold, lease, now = self._hold, self._hold.lease, time.monotonic()
        seconds = min(self._recheck, most)
        if self.next_due is not None:
            seconds = min(seconds, max(0.0, self.next_due - now))
        starvation = self._config.starvation if idle else None
        if starvation is not None:
            left = self.last_task + starvation.time_with_no_tasks - now
            seconds = min(seconds, max(0.001, left))
        called: Sequence[str] = ()
        try:
            called = lease.connector.wait([(lease.queue, lease.consumer)], seconds, hold.wake_fd)
        except StoreUnavailable as error:
            hold.unreachable(error)
            hold.sleep(random.uniform(0.05, 0.2))
        if not called:
            hold.sleep(0)
        if starvation is not None:
            waited = time.monotonic() - self.last_task
            if waited >= starvation.time_with_no_tasks:
                self._starve(waited)

    def burst_over(self) -> bool:
        """Whether the queue has nothing left for anybody, and no plugin anything for the queue; what it waits for, if nobody runs anything, is said once."""
        connector, queue = self._hold.lease.connector, self._hold.lease.queue
        counts = self._hold.insist(lambda: connector.counts(queue))
        if counts is None:
            return False
        waits = bool(counts.ready or counts.delayed)
        if waits and not counts.leased and not self._told and time.monotonic() - self.last_task >= PATIENCE:
            self._told = True
            self._tell(counts)
        return not (waits or counts.leased) and not fetched(self._runtime.app)

    def _tell(self, counts: Counts) -> None:
        due = None if self.next_due is None else round(max(0.0, self.next_due - time.monotonic()), 1)
        soon: dict[str, Any] = {} if due is None or not counts.delayed else {"next_in": due}
        held = "the queue is paused: regiment queues resume lets it go on" if counts.paused else ""
        log.event(
            logging.INFO,
            "worker.waiting",
            queue=self._config.name,
            ready=counts.ready,
            delayed=counts.delayed,
            **soon,
            reason=held or "--burst ends when nothing is ready, on lease or delayed",
            next="regiment why ID says what a task waits for; Ctrl-C ends it now",
        )

    def _starve(self, seconds: float) -> None:
        self.last_task = time.monotonic()
        log.event(logging.INFO, "worker.starving", seconds=round(seconds, 1), queue=self._config.name)
        told = self._runtime.handlers.get("on_starvation")
        if told is not None:
            obey(self._runtime, self._end, "on_starvation", told, seconds)


def obey(runtime: Runtime, end: Callable[[bool], None], name: str, hook: Callable[..., object], *args: object) -> bool:
    """Call a hook that belongs to no task; whether it was obeyed, having asked for the end of this process or of all.

    What else it raises is logged.
    """
    try:
        runtime.call(hook, *args)
    except (Stop, Respawn) as control:
        end(isinstance(control, Respawn))
        return True
    except Control:
        text = "only stop and respawn work here"
        log.event(logging.ERROR, "hook.error", hook=name, error=text)
    except BaseException as error:
        log.event(logging.ERROR, "hook.error", exc_info=error, hook=name)
    return False
