"""Sergeant's configuration: the same records with the same fields, and what they are in regiment.

A value that cannot be had is refused in words when the worker's configuration is first needed; `docs/from-sergeant.md` has the list.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from regiment import Backoff, ConfigError, Use, bounds
from regiment import config as ours
from regiment.config import EVENTS, LIMIT, PERIOD, RETRIES, or_none, record, whole
from regiment.settings import Settings, field, rule

__all__ = ["Connector", "Encoder", "Logging", "LoggingEvents", "Starvation", "Timeouts", "WorkerConfig"]

_COMPRESSORS = {None: None, "dummy": None, "bzip2": "bzip2", "gzip": "zlib", "lzma": "lzma", "zlib": "zlib"}
_SERIALIZERS = ("msgpack", "pickle")
_CONNECTORS = {"redis": "redis", "mongo": "mongo", "local": "local"}
_FORMAT = logging.Formatter("%(asctime)s %(name)-12s %(process)d %(levelname)-8s %(message)s", "%Y-%m-%d %H:%M:%S")


def _one_of(values: Any) -> Any:
    return rule(lambda value: value in tuple(values), " or ".join(map(repr, values)))


class Connector(Settings):
    """Where tasks live: `type` "redis", "mongo" or "local", and its `params`."""

    params: Mapping[str, Any] = field(EVENTS, default={})
    type: str = field(_one_of(_CONNECTORS), default="local")

    def meant(self) -> Use | None:
        """The choice of regiment's connector; None, its default, for "local" without a file."""
        params = dict(self.params)
        if self.type != "local":
            nodes = params.pop("nodes", None)
            return Use(self.type, nodes=list(nodes) if nodes is not None else [params], **(params if nodes else {}))
        path = params.pop("file_path", None)
        if params:
            raise ConfigError(f"connector.params of local has {', '.join(params)}; expected file_path")
        return None if path is None else Use("local", path=str(path))


class Encoder(Settings):
    """How messages are written. Sergeant's default was pickle; here it is msgpack, and "pickle" needs a `key` that all share."""

    compressor: str | None = field(_one_of(_COMPRESSORS), default=None)
    serializer: str = field(_one_of(_SERIALIZERS), default="msgpack")
    key: str | None = None

    def meant(self) -> dict[str, Any]:
        """The fields of regiment's configuration."""
        if self.serializer == "pickle" and self.key is None:
            raise ConfigError(
                "encoder.serializer is 'pickle' without a key, and whoever can write to the store could run code in your "
                "workers; expected Encoder(serializer='pickle', key=os.environ['…']), the same in producers and workers, or "
                "serializer='msgpack' (plain data)"
            )
        if self.serializer != "pickle" and self.key is not None:
            raise ConfigError("encoder.key is set and serializer is 'msgpack'; expected a key with 'pickle' only")
        serializer = Use("pickle", key=self.key) if self.key is not None else self.serializer
        return {"serializer": serializer, "compressor": _COMPRESSORS[self.compressor]}

    def __repr__(self) -> str:
        shown = {**self.values(), "key": None if self.key is None else "…"}
        return f"Encoder({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


class Timeouts(Settings):
    """The limit of a task: `WorkerTimedout` in it after `timeout` seconds (0: none), SIGKILL `grace_period` seconds later."""

    timeout: float = field(PERIOD, default=0.0)
    grace_period: float = field(PERIOD, default=10.0)

    def meant(self) -> ours.Timeouts:
        return ours.Timeouts(hard=self.timeout or None, grace=self.grace_period)


class LoggingEvents(Settings):
    """Which ends of tasks are logged. `on_max_retries` and `on_starvation` have no line of their own here."""

    on_success: bool = False
    on_failure: bool = True
    on_timeout: bool = True
    on_retry: bool = True
    on_max_retries: bool = True
    on_requeue: bool = True
    on_starvation: bool = True
    on_stop: bool = True

    def meant(self) -> dict[str, str | None]:
        """Event -> level, of those that differ from regiment's own."""
        named = ("failure", "timeout", "retry", "requeue", "interrupted")
        told = (self.on_failure, self.on_timeout, self.on_retry, self.on_requeue, self.on_stop)
        silent: dict[str, str | None] = {f"task.{name}": None for name, on in zip(named, told, strict=True) if not on}
        return {"task.success": "INFO" if self.on_success else None, **silent}


class Logging(Settings):
    """What a worker logs. `level` is a number or a name; `log_to_stdout` adds lines in Sergeant's form to what
    `regiment run` writes to stderr.
    """

    level: int | str = logging.ERROR
    log_to_stdout: bool = False
    events: LoggingEvents = field(record(LoggingEvents), default=LoggingEvents())
    handlers: Sequence[Any] = ()

    def meant(self) -> ours.Logging:
        handlers = list(self.handlers)
        if self.log_to_stdout and sys.stdout is not None:
            handlers.append(logging.StreamHandler(sys.stdout))
            handlers[-1].setFormatter(_FORMAT)
        level = self.level if isinstance(self.level, str) else logging.getLevelName(self.level)
        return ours.Logging(level=str(level), events=self.events.meant(), handlers=handlers)


class Starvation(Settings):
    """Call `on_starvation` after this many seconds without a task."""

    time_with_no_tasks: float = field(LIMIT)


class WorkerConfig(Settings):
    """Everything that Sergeant sets of a worker, and `regiment`: further fields of regiment's own `WorkerConfig` by name,
    such as `{"lease": 60, "delivery": "at_most_once"}`.

    `max_retries=0`: `self.retry` never gives up. Nothing is retried unless it asks for it; what fails is a dead letter.
    """

    name: str = field(bounds.queue_expected)
    connector: Connector = field(record(Connector), default=Connector())
    max_tasks_per_run: int = field(whole(0), default=0)
    max_retries: int = field(RETRIES, default=0)
    tasks_per_transaction: int = field(whole(1, 100_000), default=1)
    number_of_threads: int = field(whole(1), default=1)
    encoder: Encoder = field(record(Encoder), default=Encoder())
    timeouts: Timeouts = field(record(Timeouts), default=Timeouts())
    logging: Logging = field(record(Logging), default=Logging())
    starvation: Starvation | None = field(or_none(record(Starvation), "Starvation(seconds), or None"), default=None)
    regiment: Mapping[str, Any] = field(EVENTS, default={})

    _prefix = ""

    def meant(self) -> ours.WorkerConfig:
        """The same in regiment; `ConfigError` with all problems, or with what cannot be had."""
        if problems := self.check():
            raise ConfigError("; ".join(problems))
        starvation = self.starvation
        fields = {
            "connector": self.connector.meant(),
            "max_tasks_per_run": self.max_tasks_per_run,
            "max_retries": self.max_retries or None,
            "retry_on": (),
            "backoff": Backoff(first=0.0, jitter=False),
            "tasks_per_transaction": self.tasks_per_transaction,
            "number_of_threads": None if self.number_of_threads == 1 else self.number_of_threads,
            **self.encoder.meant(),
            "timeouts": self.timeouts.meant(),
            "logging": self.logging.meant(),
            "starvation": starvation and ours.Starvation(starvation.time_with_no_tasks),
        }
        return ours.WorkerConfig(self.name, **{**fields, **self.regiment})
