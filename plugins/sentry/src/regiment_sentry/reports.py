"""What a worker reports: tasks that are dead, and tries that failed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sentry_sdk
from sentry_sdk.utils import event_from_exception

from regiment import outcome as outcomes
from regiment.context import attempt_now
from regiment.outcome import Outcome
from regiment.task import Task
from regiment_console.grouping import group_of
from regiment_console.masks import hidden

ERRORS = frozenset({outcomes.FAILURE, outcomes.TIMEOUT, outcomes.MAX_RETRIES, outcomes.FAIL, outcomes.POISON})
"""Outcomes of a run that are errors; that a task asks to run again is none."""


def failed(task: Task, outcome: Outcome) -> None:
    """Report a try that failed, as the group that its dead letter would be in."""
    if sentry_sdk.is_initialized():
        reason = {"kind": outcome.kind, "name": task.name, "error": str(outcome.error or ""), "traceback": outcome.text}
        if outcome.error is not None:
            reason["error_type"] = _type(outcome.error)
        _send({"task_id": task.id, "queue": task.queue, **reason}, task, outcome.error, "warning")


def dead(letter: Mapping[str, Any], each_try: bool) -> None:
    """Report a dead letter; with `each_try` its last try has been."""
    if not sentry_sdk.is_initialized():
        return
    attempt: Any = attempt_now.get(None)
    task = attempt.task if attempt is not None else None
    outcome = attempt.outcome if task is not None and task.id == letter["task_id"] else None
    if outcome is None:
        _send(letter, None, None, "error")
    elif not (each_try and outcome.kind in ERRORS):
        _send(letter, task, outcome.error, "error")


def _send(letter: Mapping[str, Any], task: Task | None, error: BaseException | None, level: Any) -> None:
    queue, name, kind = (str(letter.get(field) or "") for field in ("queue", "name", "kind"))
    event: dict[str, Any] = {"logger": "regiment", "message": f"{name or queue}: {letter.get('error') or kind}"[:1000]}
    hint: dict[str, Any] = {}
    if error is not None:
        mechanism = {"type": "regiment", "handled": False}
        options = sentry_sdk.get_client().options
        event, hint = event_from_exception(error, client_options=options, mechanism=mechanism)  # type: ignore[assignment]
    with sentry_sdk.new_scope() as scope:
        scope.fingerprint = ["regiment", queue, group_of(letter)]
        scope.set_transaction_name(name or queue)
        for tag, value in {"queue": queue, "task": name, "kind": kind}.items():
            scope.set_tag(f"regiment.{tag}", value)
        scope.set_context("regiment", _context(letter, task))
        event["level"] = level
        sentry_sdk.capture_event(event, hint, scope=scope)  # type: ignore[arg-type]


def _context(letter: Mapping[str, Any], task: Task | None) -> dict[str, Any]:
    found = {field: letter[field] for field in ("runs", "deliveries") if field in letter}
    evidence = letter.get("evidence") or {}
    found |= {
        field: evidence[field] for field in ("reason", "rss", "cpu", "seconds", "host", "pid") if field in evidence
    }
    if task is not None:
        found |= {"attempt": task.run_count + 1, "trace_id": task.trace_id, "arguments": hidden(task.kwargs)}
    return {"id": letter["task_id"], "group": group_of(letter), **found}


def _type(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
