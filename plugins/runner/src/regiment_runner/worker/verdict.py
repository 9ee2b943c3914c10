"""What an end is called and what is kept of it: outcomes from exceptions, texts that never fail, reasons of dead letters."""

from __future__ import annotations

import json
import traceback
from typing import Any

from regiment import outcome as outcomes
from regiment.errors import Control, Fail, Requeue, Respawn, Retry, Stop, TaskTimeout
from regiment.outcome import Outcome
from regiment.task import Task
from regiment_runner.worker.policy import Rules

REASON_LIMIT = 8192
"""Bytes of an error's text and of its traceback that a dead letter keeps."""

_CONTROLS = {
    Retry: outcomes.RETRY,
    Requeue: outcomes.REQUEUE,
    Fail: outcomes.FAIL,
    Stop: outcomes.STOP,
    Respawn: outcomes.RESPAWN,
    TaskTimeout: outcomes.TIMEOUT,
}
_QUIET = frozenset({outcomes.RETRY, outcomes.REQUEUE, outcomes.STOP, outcomes.RESPAWN})
"""Asked for by the task itself: nobody needs a traceback."""


def judge(error: BaseException, rules: Rules) -> Outcome:
    """The outcome of work that raised; a control alone in an exception group is unwrapped."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        if not _is_control(_innermost(error)):
            break
        error = error.exceptions[0]
    kind = _CONTROLS.get(type(error))
    if kind is None:
        kind = next((name for cls, name in _CONTROLS.items() if isinstance(error, cls)), outcomes.FAILURE)
        if kind == outcomes.FAILURE and rules.dead_on and isinstance(error, rules.dead_on):
            kind = outcomes.FAIL
    return Outcome(kind, error=error, text=trace(error) if kind not in _QUIET else "")


def _innermost(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _is_control(error: BaseException) -> bool:
    return isinstance(error, (Control, TaskTimeout))


def trace(error: BaseException) -> str:
    """The traceback as text, its last `REASON_LIMIT` characters; never raises."""
    try:
        text = "".join(traceback.format_exception(error))
    except BaseException as broken:  # a __str__ or __repr__ of the user's that raises
        frames = "".join(traceback.format_tb(error.__traceback__))
        text = f"{frames}{type(error).__name__}: (its text cannot be had: {type(broken).__name__})"
    return text if len(text) <= REASON_LIMIT else "…" + text[-REASON_LIMIT:]


def safe_repr(error: BaseException, limit: int = REASON_LIMIT) -> str:
    """The text of an exception, cut at `limit`; never raises."""
    try:
        text = str(error) or repr(error)
    except BaseException as broken:
        text = f"(its text cannot be had: {type(broken).__name__})"
    return text if len(text) <= limit else text[:limit] + "…"


def reason_of(outcome: Outcome, task: Task) -> bytes:
    """Why a task is a dead letter, as the JSON object that the letter keeps (`docs/wire-format.md`)."""
    reason: dict[str, Any] = {"kind": outcome.kind, "name": task.name, "queue": task.queue}
    reason["runs"], reason["deliveries"] = task.run_count, task.delivery_count
    if outcome.error is not None:
        reason["error_type"] = type(outcome.error).__name__
        reason["error"] = safe_repr(outcome.error)
    else:
        reason["error"] = outcome.text[:REASON_LIMIT]
    if outcome.text:
        reason["traceback"] = outcome.text
    if outcome.evidence:
        reason["evidence"] = outcome.evidence
    return json.dumps(reason, default=repr).encode(errors="replace")


def read_note(note: bytes | None) -> dict[str, Any]:
    """What a release left with the delivery; empty if nothing, or nothing readable, was left."""
    try:
        found = json.loads(note) if note else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def is_suspect(note: bytes | None) -> bool:
    """Whether its worker was killed while nobody could tell whether it is guilty: it runs once more, alone (R19)."""
    return note is not None and b'"suspect"' in note[:40]


def was_struck(note: bytes | None) -> bool:
    """Whether a release left the delivery with a timeout that is yet to be judged; any other note is evidence only."""
    return note is not None and b'"timeout"' in note[:40]
