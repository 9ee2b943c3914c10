"""Log events `noun.verb` with fields, through standard logging; garrison configures handlers only in `garrison run`."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

from garrison.task import attempt_now

logger = logging.getLogger("garrison")
logger.addHandler(logging.NullHandler())


def event(level: int, name: str, exc_info: BaseException | None = None, **fields: Any) -> None:
    """Log the event `name` with its fields, if anyone listens at `level`."""
    if logger.isEnabledFor(level):
        logger.log(level, name, exc_info=exc_info, extra={"garrison": fields})


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


class ContextFilter(logging.Filter):
    """Gives every record of any handler the fields of the attempt it was logged in, as `record.garrison`."""

    def filter(self, record: logging.LogRecord) -> bool:
        fields = attempt_fields()
        if fields:
            record.garrison = {**fields, **getattr(record, "garrison", {})}
        return True


class Retold(logging.Handler):
    """Passes garrison's own events on, as mappings with "event" and its fields; of this process only."""

    def __init__(self, to: Callable[[dict[str, Any]], None]) -> None:
        super().__init__()
        self._to, self._pid = to, os.getpid()

    def emit(self, record: logging.LogRecord) -> None:
        """Pass one event on."""
        fields = getattr(record, "garrison", None)
        if fields is not None and os.getpid() == self._pid:
            self._to({**fields, "event": record.getMessage()})


def configure(style: str = "auto", level: str = "INFO") -> None:
    """Handlers for `garrison run`: `console`, `json`, `off`, or `auto` (console on a terminal, else json).

    Steps back where the application has configured the root logger itself.
    """
    if logging.getLogger().handlers:
        return
    if style == "off":
        logging.getLogger().addHandler(logging.NullHandler())
        return
    if style == "auto":
        style = "console" if sys.stderr.isatty() else "json"
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(ContextFilter())
    handler.setFormatter(_Lazy(style))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logger.setLevel(level)


class _Lazy(logging.Formatter):
    """structlog for whatever it takes; garrison's own events in the same layout without it.

    Importing structlog costs more than starting a worker, and megabytes in each process: an ordinary life needs none.
    """

    def __init__(self, style: str) -> None:
        super().__init__()
        self._shape = style
        self._real: logging.Formatter | None = None

    def format(self, record: logging.LogRecord) -> str:
        if self._real is None:
            if record.name == logger.name and not record.exc_info and not record.args:
                return _own(record, self._shape)
            self._real = _formatter(self._shape)
        return self._real.format(record)


def _own(record: logging.LogRecord, style: str) -> str:
    """An event of garrison as structlog would show it."""
    from datetime import UTC, datetime

    fields = getattr(record, "garrison", {})
    level, at = record.levelname.lower(), datetime.fromtimestamp(record.created, UTC)
    if style == "json":
        import json

        stamp = at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        line = {"event": record.msg, "level": level, "timestamp": stamp, **fields}
        return json.dumps(line, default=repr)
    texts = [f"{name}={fields[name]}" for name in sorted(fields) if name != "traceback"]
    stamp = at.astimezone().strftime("%Y-%m-%dT%H:%M:%S.%f")
    below = f"\n{fields['traceback'].rstrip()}" if fields.get("traceback") else ""
    if not sys.stderr.isatty() or os.environ.get("NO_COLOR"):
        return f"{stamp} [{level:<9}] {record.msg:<18} {' '.join(texts)}{below}"
    color = (
        31 if record.levelno >= logging.ERROR else 33 if record.levelno >= logging.WARNING else 32
    )
    return f"\033[2m{stamp}\033[0m [\033[{color}m{level:<9}\033[0m] \033[1m{record.msg:<18}\033[0m {' '.join(texts)}{below}"


def _formatter(style: str) -> logging.Formatter:
    import structlog

    def fields(_: Any, __: str, line: MutableMapping[str, Any]) -> Mapping[str, Any]:
        return {**line, **getattr(line.get("_record"), "garrison", {})}

    final: list[Any] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if style == "json":
        final += [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(default=repr),
        ]
    else:
        final += [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty() and not os.environ.get("NO_COLOR"), pad_event_to=18
            )
        ]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=style == "json"),
            fields,
        ],
        processors=final,
    )


class FieldLogger:
    """A thin logger whose methods take fields as keywords: `logger.info("fetched", url=…)`."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def log(
        self, level: int, message: str, *args: Any, exc_info: Any = None, **fields: Any
    ) -> None:
        """Log `message` with fields and those of the running task."""
        if self._logger.isEnabledFor(level):
            self._logger.log(
                level,
                message,
                *args,
                exc_info=exc_info,
                extra={"garrison": {**attempt_fields(), **fields}},
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
