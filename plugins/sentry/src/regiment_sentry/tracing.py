"""Spans for pushes and transactions for runs, joined by the headers of the tasks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sentry_sdk

from regiment import bounds

CARRIED = ("sentry-trace", "baggage")
"""Headers that Sentry reads."""


@contextmanager
def submitting(push: Any) -> Iterator[None]:
    """A span around a push, in the transaction that runs here if there is one; its trace goes into the headers of all tasks of it."""
    with sentry_sdk.start_span(op="queue.submit", name=push.queue, origin="auto.queue.regiment") as span:
        span.set_data("messaging.system", "regiment")
        span.set_data("messaging.destination.name", push.queue)
        if len(push.tasks) == 1:
            span.set_data("messaging.message.id", push.id or push.tasks[0].id)
        else:
            span.set_data("messaging.batch.message_count", len(push.tasks))
        found = zip(CARRIED, (sentry_sdk.get_traceparent(), sentry_sdk.get_baggage()), strict=True)
        own = {name: value for name, value in push.headers.items() if name not in CARRIED}
        carried = {name: value for name, value in found if value}
        for kept in (carried, {name: value for name, value in carried.items() if name != "baggage"}, {}):
            if bounds.refusal("headers", {**own, **kept}) is None:
                push.headers = {**own, **kept}
                break
        yield


@contextmanager
def processing(task: Any) -> Iterator[None]:
    """A transaction around a run, in an isolation scope of its own: what one task leaves in it no other task has."""
    with sentry_sdk.isolation_scope():
        made = sentry_sdk.continue_trace(
            task.headers or {},
            op="queue.process",
            name=task.name or task.queue,
            source="task",
            origin="auto.queue.regiment",
        )
        with sentry_sdk.start_transaction(made) as span:
            span.set_data("messaging.system", "regiment")
            span.set_data("messaging.destination.name", task.queue)
            span.set_data("messaging.message.id", task.id)
            span.set_data("messaging.message.retry.count", task.run_count)
            span.set_data("messaging.message.receive.latency", round(max(0.0, time.time() - task.date) * 1000))
            span.set_status("ok")
            yield


def mark_failed() -> None:
    """The run that ends here has failed. A thread that was given up has no transaction any more."""
    span = sentry_sdk.get_current_scope().transaction
    if span is not None:
        span.set_status("internal_error")
