"""How `regiment run` logs: the handlers and formats of its processes."""

from __future__ import annotations

import functools
import logging
import os
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

from regiment import log
from regiment_cli.printing import INDENT, fitting, printable, printable_lines

SECONDS, NOTHING = "%Y-%m-%dT%H:%M:%S", (None, "")
"""Times as people read them, and values that a line for them leaves out."""
for_people = False
"""True if somebody reads the log of this process on a terminal: then successes have a line, now and then."""


class ContextFilter(logging.Filter):
    """Gives every record of any handler the fields of the attempt it was logged in, as `record.regiment`."""

    def filter(self, record: logging.LogRecord) -> bool:
        fields = log.attempt_fields()
        if fields:
            record.regiment = {**fields, **getattr(record, "regiment", {})}
        return True


def configure(style: str = "auto", level: str = "INFO") -> None:
    """Handlers for `regiment run`: `console`, `json`, `off`, or `auto` (console on a terminal, else json).

    Steps back where the application has configured the root logger itself, and when it calls `logging.basicConfig` later,
    as modules do that workers import.
    """
    if logging.getLogger().handlers:
        return
    if style == "off":
        _install(logging.NullHandler())
        return
    if sys.stderr is None:  # closed, in a program that is not ours
        return
    if style == "auto":
        style = "console" if sys.stderr.isatty() else "json"
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(ContextFilter())
    handler.setFormatter(_Lazy(style))
    global for_people
    for_people = style == "console"
    _install(handler)
    logging.getLogger().setLevel(logging.WARNING)
    log.logger.setLevel(level)


def _install(handler: logging.Handler) -> None:
    """Put our handler on the root logger until the application configures it: `basicConfig` does nothing where it finds one."""
    root, configure_root = logging.getLogger(), logging.basicConfig
    root.addHandler(handler)

    def step_back(**options: Any) -> None:
        root.removeHandler(handler)
        logging.basicConfig = configure_root
        configure_root(**options)

    logging.basicConfig = functools.wraps(configure_root)(step_back)


class _Lazy(logging.Formatter):
    """structlog for whatever it takes; regiment's own events in the same layout without it.

    Importing structlog costs more than starting a worker, and megabytes in each process: an ordinary life needs none.
    """

    def __init__(self, style: str) -> None:
        super().__init__()
        self._shape = style
        self._real: logging.Formatter | None = None

    def format(self, record: logging.LogRecord) -> str:
        if self._real is None:
            if record.name == log.logger.name and not record.exc_info and not record.args:
                return fitting(_own(record, self._shape), sys.stderr)
            self._real = _formatter(self._shape)
        # Lines after the first are indented: only what begins at the margin is an event.
        text = self._real.format(record).rstrip("\n").replace("\n", f"\n{INDENT}")
        return fitting(text, sys.stderr)


def _own(record: logging.LogRecord, style: str) -> str:
    """An event of regiment as structlog would show it."""
    from datetime import UTC, datetime

    fields = getattr(record, "regiment", {})
    level, at = record.levelname.lower(), datetime.fromtimestamp(record.created, UTC)
    if style == "json":
        import json

        stamp = at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        line = {"event": record.msg, "level": level, "timestamp": stamp, **fields}
        return json.dumps(line, default=repr)
    shown = sorted(name for name, value in fields.items() if name != "traceback" and value not in NOTHING)
    texts = [f"{printable(name)}={printable(fields[name])}" for name in shown]
    event = f"{printable(record.msg):<18}"
    stamp = at.astimezone().strftime(SECONDS)
    traceback = str(fields.get("traceback") or "").rstrip()
    below = f"\n{INDENT}{printable_lines(traceback, INDENT)}" if traceback else ""
    if not sys.stderr.isatty() or os.environ.get("NO_COLOR"):
        return f"{stamp} [{level:<9}] {event} {' '.join(texts)}{below}"
    color = 31 if record.levelno >= logging.ERROR else 33 if record.levelno >= logging.WARNING else 32
    return f"\033[2m{stamp}\033[0m [\033[{color}m{level:<9}\033[0m] \033[1m{event}\033[0m {' '.join(texts)}{below}"


def _formatter(style: str) -> logging.Formatter:
    import structlog

    def fields(_: Any, __: str, line: MutableMapping[str, Any]) -> Mapping[str, Any]:
        return {**line, **getattr(line.get("_record"), "regiment", {})}

    final: list[Any] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if style == "json":
        final += [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(default=repr),
        ]
    else:
        final += [
            structlog.processors.format_exc_info,
            _for_people,
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty() and not os.environ.get("NO_COLOR"),
                pad_event_to=18,
                exception_formatter=structlog.dev.plain_traceback,
            ),
        ]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso" if style == "json" else SECONDS, utc=style == "json"),
            fields,
        ],
        processors=final,
    )


def _for_people(_: Any, __: str, line: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """The values of a line without anything that a terminal would obey; exceptions and events keep their line breaks."""
    whole = ("event", "exception", "stack", "traceback")
    return {
        printable(name): printable_lines(value) if name in whole else printable(value)
        for name, value in line.items()
        if value not in NOTHING
    }
