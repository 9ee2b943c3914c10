"""What an end is called and what is kept of it: outcomes from exceptions, texts that never fail, reasons of dead letters."""

from __future__ import annotations

import contextlib
import json
import reprlib
import traceback
from collections import deque
from collections.abc import Iterable
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any

from regiment import outcome as outcomes
from regiment.errors import Cancelled, Control, Fail, Requeue, Respawn, Retry, Stop, TaskTimeout
from regiment.outcome import Outcome
from regiment.task import Task
from regiment_runner.worker.asking import alone_in, is_a, name_of
from regiment_runner.worker.policy import Rules

REASON_LIMIT = 8192
"""Bytes of an error's text and of its traceback that a dead letter keeps."""

_TEXT_LIMIT = REASON_LIMIT // 2
"""Characters of one exception's text in a traceback."""

_CONTROLS = {
    Retry: outcomes.RETRY,
    Requeue: outcomes.REQUEUE,
    Fail: outcomes.FAIL,
    Stop: outcomes.STOP,
    Respawn: outcomes.RESPAWN,
    Cancelled: outcomes.CANCELLED,
    TaskTimeout: outcomes.TIMEOUT,
}
_PLAIN = (str, dict, list, int, float, bool, bytes, tuple)
_QUIET = frozenset({outcomes.RETRY, outcomes.REQUEUE, outcomes.STOP, outcomes.RESPAWN, outcomes.CANCELLED})
"""Asked for by the task itself: nobody needs a traceback."""


def judge(error: BaseException, rules: Rules) -> Outcome:
    """The outcome of work that raised; a control alone in an exception group is unwrapped."""
    inner = _innermost(error)
    if is_a(inner, (Control, TaskTimeout)):
        error = inner
    kind = next((name for cls, name in _CONTROLS.items() if is_a(error, cls)), outcomes.FAILURE)
    if kind == outcomes.FAILURE and rules.dead_on and is_a(error, rules.dead_on):
        kind = outcomes.FAIL
    return Outcome(kind, error=error, text=trace(error) if kind not in _QUIET else "")


def promised_only(value: object) -> Outcome | None:
    """A failure, if work returned something that nobody runs: a coroutine, a generator, any other awaitable or lazy
    iterator; None for a value that is one.
    """
    kind, what = type(value), ""
    if kind in _PLAIN:  # what most return: to be asked for what it has not costs a class 1 µs
        return None
    if kind is CoroutineType:
        what = 'a coroutine that nobody awaits; use executor="asyncio" for async def tasks'
    elif kind in (GeneratorType, AsyncGeneratorType):
        what = f"{_article(kind)} {kind.__name__}, and nothing in it has run; a task does its work and returns"
    elif hasattr(kind, "__await__"):
        what = f'an awaitable ({kind.__name__}) that nobody awaits; use executor="asyncio" and await it in the task'
    elif kind in (map, filter, zip) or hasattr(kind, "__anext__"):
        what = (
            f"{_article(kind)} {kind.__name__} that nobody iterates, so nothing in it has run; iterate it in the task"
        )
    if not what:
        return None
    if kind in (CoroutineType, GeneratorType):
        with contextlib.suppress(BaseException):
            value.close()  # type: ignore[attr-defined]
    text = f"the task returned {what}"
    return Outcome(outcomes.FAILURE, error=TypeError(text), text=text)


def _article(kind: type) -> str:
    return "an" if kind.__name__[0] in "aeiou" else "a"


def _innermost(error: BaseException) -> BaseException:
    while (inner := alone_in(error)) is not None:
        error = inner
    return error


def trace(error: BaseException) -> str:
    """The traceback as text, its last `REASON_LIMIT` characters; never raises. What is longer is cut while it is built."""
    try:
        made = traceback.TracebackException(type(error), error, error.__traceback__, compact=True)
        _shorten(made)
        return _last(made.format())
    except BaseException as broken:  # a __str__ or __repr__ of the user's that raises
        frames = "".join(traceback.format_tb(error.__traceback__))
        text = f"{frames}{name_of(error)}: (its text cannot be had: {name_of(broken)})"
    return text if len(text) <= REASON_LIMIT else "…" + text[-REASON_LIMIT:]


def _shorten(top: traceback.TracebackException) -> None:
    """Cut the texts and notes of an exception, and of all that belong to it, so that its frames have room beside them."""
    seen, left = set[int](), [top]
    while left:
        made = left.pop()
        if id(made) in seen:
            continue
        seen.add(id(made))
        text, notes = getattr(made, "_str", None), getattr(made, "__notes__", None)
        if isinstance(text, str) and len(text) > _TEXT_LIMIT:
            made._str = f"{text[:_TEXT_LIMIT]}…"  # type: ignore[attr-defined]
        if isinstance(notes, (list, tuple)):
            made.__notes__ = [str(note)[:_TEXT_LIMIT] for note in notes[:16]]
        left += [one for one in (made.__cause__, made.__context__) if one is not None]
        left += made.exceptions or []


def _last(lines: Iterable[str]) -> str:
    """The last `REASON_LIMIT` characters of lines of which no more are kept than that."""
    kept, size, cut = deque[str](), 0, False
    for line in lines:
        kept.append(line[-REASON_LIMIT:])
        size += len(kept[-1])
        cut = cut or len(line) > REASON_LIMIT
        while size - len(kept[0]) >= REASON_LIMIT:
            size -= len(kept.popleft())
            cut = True
    text = "".join(kept)
    return text if size <= REASON_LIMIT and not cut else "…" + text[-REASON_LIMIT:]


def safe_repr(error: BaseException, limit: int = REASON_LIMIT) -> str:
    """The text of an exception, cut at `limit`; never raises. A large container in it is never shown as a whole."""
    try:
        args = error.args
        if type(error).__str__ is BaseException.__str__ and any(_large(part, limit) for part in args):
            text = _parts.repr(args[0] if len(args) == 1 else args)
        else:
            text = str(error) or repr(error)
    except BaseException as broken:
        text = f"(its text cannot be had: {name_of(broken)})"
    return text if len(text) <= limit else text[:limit] + "…"


def _large(part: object, limit: int) -> bool:
    return type(part) in (list, tuple, dict, set, frozenset, bytes, bytearray) and len(part) > limit  # type: ignore[arg-type]


_parts = reprlib.Repr()
_parts.maxlist = _parts.maxtuple = _parts.maxdict = _parts.maxset = _parts.maxfrozenset = 100
_parts.maxother = _parts.maxstring = 1000


def reason_of(outcome: Outcome, task: Task, aside: str = "") -> bytes:
    """Why a task is a dead letter, as the JSON object that the letter keeps (`docs/wire-format.md`); `aside` is added to
    its error.
    """
    reason: dict[str, Any] = {"kind": outcome.kind, "name": task.name, "queue": task.queue}
    reason["runs"], reason["deliveries"] = task.run_count, task.delivery_count
    if outcome.error is not None:
        reason["error_type"] = name_of(outcome.error)
        reason["error"] = safe_repr(outcome.error)
    else:
        reason["error"] = outcome.text[:REASON_LIMIT]
    if aside:
        reason["error"] = f"{reason['error']}; {aside}"
    if outcome.text:
        reason["traceback"] = outcome.text
    if outcome.evidence:
        reason["evidence"] = outcome.evidence
    return json.dumps(reason, default=repr).encode(errors="replace")


def read_note(note: bytes | None) -> dict[str, Any]:
    """What a release left with the delivery; empty if nothing, or nothing readable, was left."""
    try:
        found = json.loads(note) if note else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def is_suspect(note: bytes | None) -> bool:
    """Whether its worker was killed while nobody could tell whether it is guilty: it runs once more, alone (R19)."""
    return note is not None and b'"suspect"' in note[:40]


def was_struck(note: bytes | None) -> bool:
    """Whether a release left the delivery with a timeout that is yet to be judged, or as cancelled; any other note is evidence
    only.
    """
    return note is not None and (b'"timeout"' in note[:40] or b'"cancelled"' in note[:40])
