"""What is counted, and where it is read: workers count into files of prometheus_client, the keeper serves their sums."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector

from regiment.hooks import hookimpl
from regiment.outcome import Outcome
from regiment_prometheus.hooks import VARIABLE, address

log = logging.getLogger("regiment_prometheus")

SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800, float("inf"))

mine = CollectorRegistry()
"""Not the library's own, which belongs to the application."""
pushed = Counter("regiment_tasks_pushed", "Tasks that the store accepted.", ["queue"], registry=mine)
ended = Counter(
    "regiment_tasks_ended",
    "Attempts, by their outcome.",
    ["queue", "name", "outcome"],
    registry=mine,
)
seconds_of = Histogram(
    "regiment_task_seconds",
    "How long attempts took.",
    ["queue", "name"],
    buckets=SECONDS,
    registry=mine,
)
dead = Counter("regiment_dead_letters", "Tasks that were given up.", ["queue", "name"], registry=mine)
events = Counter("regiment_supervisor_events", "What supervisors log.", ["event"], registry=mine)

_serving: list[int] = []
"""The process that serves, and each that was forked from it."""


@hookimpl
def regiment_tasks_pushed(queue: str, tasks: Sequence[Any]) -> None:
    pushed.labels(queue).inc(len(tasks))


@hookimpl
def regiment_task_finished(task: Any, outcome: Outcome, seconds: float) -> None:
    ended.labels(task.queue, task.name, outcome.kind).inc()
    seconds_of.labels(task.queue, task.name).observe(seconds)


@hookimpl
def regiment_task_dead(letter: Mapping[str, Any]) -> None:
    dead.labels(letter["queue"], letter["name"] or "").inc()


@hookimpl
def regiment_event(event: Mapping[str, Any], process: str) -> None:
    if process != "supervisor":
        return
    events.labels(event["event"]).inc()
    if os.getpid() not in _serving:
        _serving.append(os.getpid())
        serve()


def serve() -> None:
    """In the keeper, which is one of each tree: an HTTP server in a thread of its own."""
    host, port = address(os.environ[VARIABLE])
    sums = CollectorRegistry()
    MultiProcessCollector(sums)  # type: ignore[no-untyped-call]
    start_http_server(port, host or "0.0.0.0", registry=sums)
    log.info("serving on %s:%d", host, port)
