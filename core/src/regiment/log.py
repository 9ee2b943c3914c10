"""Log events `noun.verb` with fields, through standard logging; regiment configures handlers only in `regiment run`."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

from regiment.context import attempt_now
from regiment.printing import INDENT, fitting, printable, printable_lines

logger = logging.getLogger("regiment")
logger.addHandler(logging.NullHandler())


def event(level: int, name: str, exc_info: BaseException | None = None, **fields: Any) -> None:
    """Log the event `name` with its fields, if anyone listens at `level`."""
    if logger.isEnabledFor(level):
        logger.log(level, name, exc_info=exc_info, extra={"regiment": fields})


def tell(told: Callable[..., Any], *args: Any) -> None:
    """Call an observer of a plugin: what it raises is an event `plugin.error`, and changes nothing."""
    try:
        told(*args)
    except Exception as error:
        plugin = getattr(told, "__module__", repr(told))
        event(logging.ERROR, "plugin.error", exc_info=error, plugin=plugin)


class Throttle:
    """Lets the first of a kind of event through, then one every `seconds`, and counts what it held back."""

    def __init__(self, seconds: float = 30.0) -> None:
        self._seconds, self._last, self._held = seconds, -1e9, 0

    def __call__(self) -> int | None:
        """None: stay silent. A number: log, and say how many were held back since."""
        now = time.monotonic()
        if now - self._last < self._seconds:
            self._held += 1
            return None
        held, self._held, self._last = self._held, 0, now
        return held


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


def _for_people(_: Any, __: str, line: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """The values of a line without anything that a terminal would obey; exceptions and events keep their line breaks."""
    whole = ("event", "exception", "stack", "traceback")
    return {
        printable(name): printable_lines(value) if name in whole else printable(value) for name, value in line.items()
    }


class FieldLogger:
    """A thin logger whose methods take fields as keywords: `logger.info("fetched", url=…)`."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def log(self, level: int, message: str, *args: Any, exc_info: Any = None, **fields: Any) -> None:
        """Log `message` with fields and those of the running task."""
        if self._logger.isEnabledFor(level):
            self._logger.log(
                level,
                message,
                *args,
                exc_info=exc_info,
                extra={"regiment": {**attempt_fields(), **fields}},
            )

    def debug(self, message: str, *args: Any, **fields: Any) -> None:
        """Log at DEBUG."""
        self.log(logging.DEBUG, message, *args, **fields)

    def info(self, message: str, *args: Any, **fields: Any) -> None:
        """Log at INFO."""
        self.log(logging.INFO, message, *args, **fields)

    def warning(self, message: str, *args: Any, **fields: Any) -> None:
        """Log at WARNING."""
        self.log(logging.WARNING, message, *args, **fields)

    def error(self, message: str, *args: Any, **fields: Any) -> None:
        """Log at ERROR."""
        self.log(logging.ERROR, message, *args, **fields)

    def exception(self, message: str, *args: Any, **fields: Any) -> None:
        """Log at ERROR with the traceback of what is being handled."""
        self.log(logging.ERROR, message, *args, exc_info=True, **fields)
