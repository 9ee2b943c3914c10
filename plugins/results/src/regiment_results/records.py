"""What is kept of a task, as plain data: its record while it waits and runs, and its outcome.

All of a task is under one key. An outcome has a higher rank than any note of a push, and the outcome of a later push a
higher one than that of an earlier push with the same id: so nothing that comes late replaces an outcome (E11).
"""

from __future__ import annotations

import json
import os
import socket
from typing import Any, NamedTuple

from regiment.bounds import seen
from regiment.codec import Codec
from regiment.contracts import Followed, Record
from regiment.errors import DecodeError
from regiment.outcome import STOP, SUCCESS
from regiment.outcome import Outcome as Ended
from regiment_results.errors import name_of

FORMAT = 1
"""The first field of every record."""
LONGEST_MESSAGE = 4096
LONGEST_TRACEBACK = 32_768
"""Characters of an exception's text and traceback that are kept."""
MOST_NOTES = 16
WAITING, RUNNING, RETRYING = "waiting", "running", "retrying"
FINISHED = (SUCCESS, STOP)
"""Kinds of outcomes that are settled as done by the task itself."""


class Error(NamedTuple):
    """An exception by name and text: its qualified name, those of all its classes, its message, traceback and notes."""

    type: str
    bases: list[str]
    message: str
    traceback: str
    notes: list[str]


class Outcome(NamedTuple):
    """How a task ended, or one of its tries. Times are seconds since the epoch, by the worker's clock."""

    kind: str
    """One of the names of `regiment.outcome`: success, failure, timeout, fail, expired, cancelled, poison, …"""
    value: Any
    """What it returned; None if it did not succeed, or if that was not kept."""
    error: Error | None
    runs: int
    started: float
    ended: float
    worker: str
    """Host and process id."""
    lack: tuple[Any, ...] = ()
    """Why the value was not kept: ("large", size, limit) in bytes, or ("refused", the reason); empty if it was."""

    @property
    def seconds(self) -> float:
        """How long its last run took."""
        return self.ended - self.started

    @property
    def success(self) -> bool:
        """True if the task did what it was to do."""
        return self.kind in FINISHED

    @property
    def state(self) -> str:
        """The same as the state of its handle."""
        return SUCCESS if self.success else STATES.get(self.kind, "dead")


class Progress(NamedTuple):
    """How far a task is, as it said itself by `current().progress`; looked at once a second."""

    done: int
    total: int
    note: str
    started: float
    """Seconds since the epoch."""
    worker: str


class Note(NamedTuple):
    """What is known of a task that has not ended."""

    state: str
    progress: Progress | None = None


STATES = {
    "failure": "failure",
    "retry": "failure",
    "timeout": "timeout",
    "expired": "expired",
    "cancelled": "cancelled",
}


FINAL = 1 << 52
"""The lowest rank of an outcome."""


def note_rank(date: float) -> int:
    """The rank of what is noted of a task that was pushed at `date`: the milliseconds."""
    try:
        return min(max(0, int(date * 1000)), FINAL - 1)
    except (ValueError, OverflowError):  # a date that somebody else wrote
        return 0


def rank_of(date: float) -> int:
    """The rank of the outcome of a task that was pushed at `date`."""
    return FINAL + note_rank(date)


def key_of(id: str) -> str:
    """Where the record of a task is kept."""
    return f"r:{id}"


def id_of(key: str) -> str:
    """The task whose record this is."""
    return key.removeprefix("r:")


def try_key(id: str, number: int) -> str:
    """Where a try of a task is kept; no id has a control character."""
    return f"r:{id}\t{number}"


def outcome_record(runs: int, ended: Ended, now: float, seconds: float, lack: tuple[Any, ...] = ()) -> list[Any]:
    """The record of an end, yet to be packed; with a `lack` it leaves out the value."""
    value = None if lack else ended.value
    made = [FORMAT, ended.kind, value, error_of(ended), runs, now - seconds, now, host_and_pid()]
    if lack:
        made.append(list(lack))
    return made


def error_of(ended: Ended) -> list[Any] | None:
    """The exception of an outcome, by names and texts; None for a success."""
    if ended.kind in FINISHED:
        return None
    error, traceback = ended.error, plain(ended.text[-LONGEST_TRACEBACK:])
    if error is None:
        return ["", [], _text(ended.text) or ended.kind, traceback, []]
    names = [name_of(cls) for cls in type(error).__mro__ if issubclass(cls, BaseException)]
    notes = getattr(error, "__notes__", ())
    kept = [_text(note) for note in notes[:MOST_NOTES]] if isinstance(notes, (list, tuple)) else []
    return [names[0], names, _text(error), traceback, kept]


def _text(value: object) -> str:
    """The text of a stranger's object."""
    try:
        text = str(value)
    except Exception as broken:
        text = f"(its text cannot be had: {type(broken).__name__})"
    return plain(text[:LONGEST_MESSAGE])


def plain(text: str) -> str:
    """The same with surrogates, which no serializer takes, as escapes."""
    return text.encode(errors="backslashreplace").decode()


def note(state: str, progress: Progress | None = None) -> bytes:
    """The record of a task that has not ended: plain JSON, for it holds nothing of the user's but a text."""
    if progress is None:
        return _NOTES[state]
    return json.dumps([FORMAT, state, list(progress)]).encode()


_NOTES = {state: f'[{FORMAT}, "{state}", null]'.encode() for state in (WAITING, RUNNING, RETRYING)}


def read(codec: Codec, record: Record, where: Followed) -> Outcome | Note:
    """What a record says; `DecodeError` for one that another release wrote, or that is none."""
    if record.rank < FINAL:
        return read_note(record.value)
    found = codec.unpack(record.value, where)
    if type(found) is not list or len(found) < 3 or type(found[1]) is not str:
        raise DecodeError(f"the record is {type(found).__name__}; expected the list of an outcome")
    if found[0] != FORMAT:
        raise DecodeError(f"the record has format {found[0]!r}; this release reads {FORMAT}. A newer one wrote it")
    return _outcome(found)


def read_note(value: bytes) -> Note:
    """What a note says; `DecodeError` for one that is none."""
    try:
        form, state, progress, *_ = json.loads(value)
        if form == FORMAT and state in _NOTES:
            return Note(state, None if progress is None else Progress(*progress))
    except (ValueError, TypeError, RecursionError):
        pass
    raise DecodeError(f"the note is {seen(value)}; expected [{FORMAT}, state, progress] as JSON")


def _outcome(found: list[Any]) -> Outcome:
    try:
        kind, value, error, runs, started, ended, worker, *more = found[1:]
        made = None if error is None else Error(*error)
        return Outcome(kind, value, made, runs, started, ended, worker, tuple(more[0]) if more else ())
    except (TypeError, ValueError) as wrong:
        raise DecodeError(f"the record of an outcome is malformed: {wrong}") from None


_worker: tuple[int, str] = (0, "")


def host_and_pid() -> str:
    """Host and process id of this process."""
    global _worker
    pid = os.getpid()
    if _worker[0] != pid:
        _worker = (pid, f"{socket.gethostname()}:{pid}")
    return _worker[1]
