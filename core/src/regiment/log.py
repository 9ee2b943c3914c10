"""Log events `noun.verb` with fields, through standard logging; regiment configures handlers only in `regiment run`."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Callable
from functools import partialmethod
from typing import Any

from regiment.context import attempt_now
from regiment.errors import Cancelled, TaskTimeout

logger = logging.getLogger("regiment")
logger.addHandler(logging.NullHandler())

PASSING: tuple[type[BaseException], ...] = (TaskTimeout, Cancelled, KeyboardInterrupt, SystemExit)
passing = PASSING
"""What a signal handler may raise in the middle of any code; it is not an error of that code. In a worker, all signals
are regiment's; there `SystemExit` and `KeyboardInterrupt` come from the code that raises them.
"""


def event(level: int, name: str, exc_info: BaseException | None = None, **fields: Any) -> None:
    """Log the event `name` with its fields, if a handler listens at `level`. No handler and no filter can make it
    raise: an exception in one is written to stderr, and the others get the event all the same.
    """
    if not logger.isEnabledFor(level):
        return
    info = None if exc_info is None else (type(exc_info), exc_info, exc_info.__traceback__)
    record = logger.makeRecord(logger.name, level, __file__, 0, name, (), info, extra={"regiment": fields})
    found: Any = _guarded(logger.filter, record)
    if not found:
        return
    record = found if isinstance(found, logging.LogRecord) else record
    place: logging.Logger | None = logger
    while place is not None:
        for handler in tuple(place.handlers):
            if level >= handler.level:
                _guarded(handler.handle, record)
        place = place.parent if place.propagate else None


def _guarded(told: Callable[[logging.LogRecord], Any], record: logging.LogRecord) -> Any:
    """Give a record to a handler or filter; True if that raises, so that the others get the record."""
    try:
        return told(record)
    except passing:
        raise
    except BaseException as error:
        _say_broken(error)
        return True


def _say_broken(error: BaseException) -> None:
    """Write to stderr that logging itself has failed; no other place is left."""
    held = _broken()
    if held is not None:
        with contextlib.suppress(Exception):
            more = f" ({held} more since the last time)" if held else ""
            what = f"a logging handler or filter raised {type(error).__name__}: {error}"
            sys.stderr.write(f"regiment: {what}; events go on without it{more}\n")
            sys.stderr.flush()


def tell(told: Callable[..., Any], *args: Any) -> None:
    """Call an observer of a plugin; its exception is an event `plugin.error` and changes nothing."""
    try:
        told(*args)
    except passing:
        raise
    except BaseException as error:
        plugin = getattr(told, "__module__", repr(told))
        event(logging.ERROR, "plugin.error", exc_info=error, plugin=plugin)


class Throttle:
    """Lets the first event through, then one every `seconds`, and counts those that it holds back."""

    def __init__(self, seconds: float = 30.0) -> None:
        self._seconds, self._last, self._held = seconds, -1e9, 0

    def __call__(self) -> int | None:
        """None: stay silent. A number: log; so many events were held back since the last one."""
        now = time.monotonic()
        if now - self._last < self._seconds:
            self._held += 1
            return None
        held, self._held, self._last = self._held, 0, now
        return held


_broken = Throttle()


def attempt_fields() -> dict[str, Any]:
    """Fields of the attempt that runs here; none outside of a task."""
    attempt = attempt_now.get(None)
    if attempt is None or attempt.task is None:
        return {}
    task = attempt.task
    return {
        "task": task.name or task.queue,
        "id": task.id,
        "queue": task.queue,
        "attempt": task.run_count + 1,
        "trace_id": task.trace_id,
    }


class FieldLogger:
    """A logger whose methods take fields as keywords, and add those of the running task: `logger.info("fetched", url=…)`.

    A field may have any name but `exc_info`; `args` fill the message, as in `logging`.
    """

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def log(self, level: int, message: str, /, *args: Any, **fields: Any) -> None:
        """Log `message` at a level."""
        if self._logger.isEnabledFor(level):
            info = fields.pop("exc_info", None)
            extra = {"regiment": {**attempt_fields(), **fields}}
            self._logger.log(level, message, *args, exc_info=info, extra=extra, stacklevel=2)

    debug = partialmethod(log, logging.DEBUG)
    info = partialmethod(log, logging.INFO)
    warning = partialmethod(log, logging.WARNING)
    error = partialmethod(log, logging.ERROR)
    exception = partialmethod(log, logging.ERROR, exc_info=True)
    """At ERROR, with the traceback of the current exception."""
