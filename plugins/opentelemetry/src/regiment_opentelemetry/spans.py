"""The spans: one for each push, one for each run. Names and attributes follow the semantic conventions for messaging."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from opentelemetry.trace import INVALID_SPAN, Link, Span, SpanKind, Status, StatusCode

from opentelemetry import context, propagate, trace
from regiment import bounds, log
from regiment import outcome as outcomes
from regiment.context import attempt_now

SCHEMA = "https://opentelemetry.io/schemas/1.30.0"
"""The version of the conventions that names and attributes follow."""
FLUSH = 5000
"""Milliseconds that a worker waits at its end for its spans to be exported."""
ERRORS = frozenset(
    {
        *(outcomes.FAILURE, outcomes.TIMEOUT, outcomes.MAX_RETRIES, outcomes.FAIL),
        *(outcomes.EXPIRED, outcomes.UNREADABLE, outcomes.UNKNOWN, outcomes.POISON),
    }
)
"""Outcomes that are errors; that a task asks to run again is none."""

_tracer = trace.get_tracer("regiment", schema_url=SCHEMA)
_throttle = log.Throttle()


class Running:
    """The span of a run, and the thread that opened it."""

    __slots__ = ("span", "task", "thread")

    def __init__(self, span: Span, task: Any) -> None:
        self.span, self.task, self.thread = span, task, threading.get_ident()


_running: dict[int, Running] = {}
"""`id` of a task -> its run, from the start of the span to its end. It holds the task, so that the `id` stays its own."""


# Pushes


@contextmanager
def sending(push: Any) -> Iterator[None]:
    """A span around a push; its context goes into the headers of all tasks of the push."""
    attributes = {**_messaging(push.queue, "send"), "regiment.task.name": push.name}
    if len(push.tasks) > 1:
        attributes["messaging.batch.message_count"] = len(push.tasks)
    else:
        attributes |= _message(push.id or push.tasks[0].id, push.trace_id)
    with _tracer.start_as_current_span(f"send {push.queue}", kind=SpanKind.PRODUCER, attributes=attributes):
        push.headers = carried(push.headers)
        yield


def carried(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers with the current context in the place of the one that they had.

    What the bounds of headers have no room for is left out and the log says so: baggage first, then all of it.
    """
    names = propagate.get_global_textmap().fields
    own = {name: value for name, value in headers.items() if name not in names}
    found: dict[str, str] = {}
    propagate.inject(found)
    if not found:
        return own
    for kept in (found, {name: value for name, value in found.items() if name != "baggage"}):
        made = {**own, **kept}
        problem = bounds.refusal("headers", made)
        if problem is None:
            break
        if _throttle() is not None:
            log.event(logging.WARNING, "opentelemetry.left_out", reason=problem, next="less context goes with the task")
    else:
        return own
    return made


# Runs


@contextmanager
def processing(task: Any, child: bool) -> Iterator[None]:
    """A span around a run of a task: a child of the span of its push, or the first of a trace that links to that."""
    origin = propagate.extract(task.headers or {}, context.Context())
    pushed = trace.get_current_span(origin).get_span_context()
    links = [Link(pushed)] if pushed.is_valid and not child else []
    span = _tracer.start_span(
        f"process {task.queue}",
        origin if child else trace.set_span_in_context(INVALID_SPAN, origin),
        kind=SpanKind.CONSUMER,
        links=links,
        attributes={
            **_messaging(task.queue, "process"),
            **_message(task.id, task.trace_id),
            "regiment.task.name": task.name,
            "regiment.task.attempt": task.run_count + 1,
            "regiment.task.wait": max(0.0, time.time() - task.date),
        },
    )
    _say_killed(span, task)
    _running[id(task)] = Running(span, task)
    token = context.attach(trace.set_span_in_context(span, origin))
    try:
        yield
    finally:
        context.detach(token)
        if _running.pop(id(task), None) is not None:
            span.end()


def finished(task: Any, outcome: Any) -> None:
    """Write the outcome of a run into its span, with the error. If the thread that opened the span was given up, end it."""
    run = _running.get(id(task))
    if run is None:
        return
    run.span.set_attribute("regiment.task.outcome", outcome.kind)
    if outcome.kind in ERRORS:
        error = outcome.error
        if error is not None:
            run.span.record_exception(error)
        run.span.set_attribute("error.type", outcome.kind if error is None else _type(error))
        run.span.set_status(Status(StatusCode.ERROR, outcome.kind if error is None else f"{_type(error)}: {error}"))
    if run.thread != threading.get_ident() and _running.pop(id(task), None) is not None:
        run.span.end()


def dead(letter: Mapping[str, Any]) -> None:
    """Note on the span of a run that its task is a dead letter now."""
    for run in list(_running.values()):
        if run.task.id == letter.get("task_id"):
            run.span.add_event("regiment.dead", {"regiment.dead.kind": str(letter.get("kind"))})


def flush() -> None:
    """Have the SDK export what it collected, if there is one."""
    flushing = getattr(trace.get_tracer_provider(), "force_flush", None)
    if flushing is not None and flushing(FLUSH) is False:
        log.event(
            logging.WARNING, "opentelemetry.not_exported", limit=FLUSH / 1000, next="spans of this worker are lost"
        )


def _say_killed(span: Span, task: Any) -> None:
    """What is known of the worker that an earlier run of this delivery ended."""
    attempt = attempt_now.get(None)
    evidence = attempt.evidence if attempt is not None and task.delivery_count else {}
    if task.delivery_count:
        span.set_attribute("regiment.task.deliveries", task.delivery_count)
        reason = str(evidence.get("reason") or "an earlier run ended its worker")
        span.add_event("regiment.worker_ended", {"regiment.reason": reason})


def _messaging(queue: str, operation: str) -> dict[str, Any]:
    return {
        "messaging.system": "regiment",
        "messaging.destination.name": queue,
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
    }


def _message(task_id: str, trace_id: str | None) -> dict[str, Any]:
    conversation = {} if trace_id is None else {"messaging.message.conversation_id": trace_id}
    return {"messaging.message.id": task_id, **conversation}


def _type(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
