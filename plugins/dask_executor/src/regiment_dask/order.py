"""What is sent to a Dask worker, and what comes back: plain data, and exceptions as far as they can be pickled."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from regiment.errors import Cancelled, Control, Fail, Requeue, Respawn, Retry, Stop, TaskTimeout
from regiment.task import Task
from regiment_dask.errors import DaskError

MOST_TEXT = 8192
"""Characters of a traceback that come back."""


class Order(NamedTuple):
    """One task for a Dask worker."""

    key: str
    module: str
    path: str
    """Where a task function of its queue stands in that module: what leads to the queue there."""
    name: str
    """Of the task."""
    own: bool
    """True if that function is the task; False if a plugin of its queue knows what runs it (the chunk of a map)."""
    fields: Mapping[str, Any]
    """Of the task, as they were delivered."""
    until: float | None
    """When its limit passes, in seconds since the epoch by the clock of regiment's worker."""
    evidence: Mapping[str, Any]
    topic: str
    """Where its worker hears of it."""


class Raised(NamedTuple):
    """What a task raised there."""

    error: bytes | None
    """Pickled, of a control what it asks for; None if it cannot be, or could not be read back."""
    kind: str
    text: str
    trace: str
    where: str
    """Address of the Dask worker."""


FIELDS = ("id", "queue", "name", "kwargs", "date", "run_count", "trace_id", "headers", "expires", "delivery_count")


CONTROLS = (Retry, Requeue, Fail, Stop, Respawn, Cancelled)
CONTROL = {cls.__name__: cls for cls in CONTROLS}
ASKED = ("delay", "at", "priority", "reason", "done", "kwargs")
"""What a control may ask for."""


def fields_of(task: Task) -> dict[str, Any]:
    """The task as data; `DaskError` for an argument that cannot be sent."""
    found = {name: getattr(task, name) for name in FIELDS}
    found["kwargs"] = {name: _whole(value) for name, value in task.kwargs.items()}
    for name, value in found["kwargs"].items():
        try:
            pickle.dumps(value)
        except Exception as error:
            raise DaskError(
                f"the argument {name} of task {task.name!r} is {type(value).__name__}, which cannot be sent to a Dask worker: {error}"
            ) from error
    return found


def task_of(fields: Mapping[str, Any]) -> Task:
    """The task of that data."""
    return Task(**fields)


def _whole(value: Any) -> Any:
    """A sequence that reads its items when it is gone through (values of a flow's members) as a list."""
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray, list, tuple)):
        return list(value)
    return value


def raised(error: BaseException, where: str) -> Raised:
    """An exception as data."""
    data: bytes | None
    control = next((cls for cls in CONTROLS if isinstance(error, cls)), None)
    try:
        data = pickle.dumps({name: getattr(error, name) for name in ASKED} if control else error)
        pickle.loads(data)
    except Exception:
        data = None
    text = _text(lambda: str(error))
    return Raised(
        data,
        (control or type(error)).__qualname__,
        text,
        _text(lambda: "".join(traceback.format_exception(error))),
        where,
    )


def _text(make: Callable[[], str]) -> str:
    try:
        return make()[-MOST_TEXT:]
    except Exception as error:
        return f"(its text cannot be had: {type(error).__name__})"


def exception_of(told: Raised) -> BaseException:
    """The exception again, with the traceback of there as a note; a `DaskError` with its name and text if it cannot be."""
    error: BaseException | None = None
    if told.error is not None:
        try:
            found = pickle.loads(told.error)
            error = CONTROL[told.kind](**found) if isinstance(found, dict) else found
        except Exception:
            error = None
    if not isinstance(error, BaseException):
        error = DaskError(
            f"{told.kind}: {told.text} (on the Dask worker {told.where}; the exception itself cannot be sent)"
        )
    if not isinstance(error, (Control, TaskTimeout)):
        # Dask's own way of pickling takes tracebacks along, where it is installed on both sides.
        error.add_note(f"on the Dask worker {told.where}" + ("" if error.__traceback__ else f":\n{told.trace}"))
    return error
