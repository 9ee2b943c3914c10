"""`app.conf`: Celery's settings, each supported, mapped, ignored or refused where it is set."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, MutableMapping
from datetime import timedelta
from importlib import import_module
from typing import Any

from regiment.bounds import seen
from regiment.config import CONNECTOR_VARIABLE, Timeouts, Use
from regiment.errors import nearest
from regiment_celery.options import IGNORED, MAPPED, QUEUE_WIDE, REFUSED, ROUTES, SUPPORTED, Option, Refused, tell

_ONE_STORE = "results are kept in the store of the tasks, in the step that settles them"
SETTINGS: Mapping[str, Option] = {
    **dict.fromkeys(
        ["broker_url", "result_backend", "result_expires", "task_default_queue", "task_queues", "task_routes", "task_time_limit", "task_soft_time_limit", "task_ignore_result", "task_always_eager", "task_eager_propagates", "timezone", "enable_utc", "beat_schedule", "imports", "include", "worker_max_tasks_per_child"],
        Option(SUPPORTED, ""),
    ),
    "broker_read_url": Option(REFUSED, "a task's worker reads where it was pushed: broker_url"),
    "broker_write_url": Option(REFUSED, "a task's worker reads where it was pushed: broker_url"),
    "task_default_priority": Option(MAPPED, "HIGH, NORMAL or LOW"),
    "task_serializer": Option(MAPPED, "json or msgpack; msgpack is the default"),
    "task_compression": Option(MAPPED, "a compressor: zlib, gzip, bzip2, lzma, zstd"),
    "worker_pool": Option(MAPPED, 'threads is the executor "threaded"; gevent and eventlet have none'),
    "task_acks_late": Option(MAPPED, "False is at_most_once"),
    **{
        name: Option(REFUSED, says, fine)
        for name, says, fine in (
            ("task_annotations", "write the options at the tasks", (None,)),
            ("task_reject_on_worker_lost", "always; or task_acks_late=False, which is at_most_once", (None, True)),
            ("task_acks_on_failure_or_timeout", "a failed task is a dead letter or retried", (None, True)),
            ("task_default_rate_limit", "regiment-limits counts starts over all workers", (None,)),
            ("task_default_exchange", ROUTES, (None,)),
            ("task_default_exchange_type", ROUTES, (None,)),
            ("task_default_routing_key", ROUTES, (None,)),
            ("task_default_delivery_mode", "what a store acknowledged it keeps: push_durability", (None,)),
            ("task_create_missing_queues", "a queue is there when it is first used", (None, True)),
            ("result_serializer", QUEUE_WIDE, (None, "json", "msgpack")),
            ("result_persistent", _ONE_STORE, (None, True)),
            ("worker_consumer", "a plugin's hooks see every attempt: docs/hooks.md", (None,)),
            ("worker_direct", "give the task a queue of its own", (None, False)),
            ("beat_scheduler", "every `regiment run` fires, each tick once", (None,)),
            ("security_key", 'sign: regiment={"serializer": Use("signed", …)}', (None,)),
            ("security_certificate", 'sign: regiment={"serializer": Use("signed", …)}', (None,)),
            ("security_cert_store", 'sign: regiment={"serializer": Use("signed", …)}', (None,)),
            ("task_inherit_parent_priority", "say priority= where it is pushed", (None, False)),
            ("task_store_errors_even_if_ignored", "a dead letter keeps the error", (None, False)),
            ("task_store_eager_result", "regiment_testing.capture() keeps results of tests", (None, False)),
        )
    },
    **{
        name: Option(IGNORED, says)
        for names, says in (
            ("accept_content result_accept_content", "pickle is read only where a queue asks for it"),
            ("worker_concurrency worker_autoscaler", "regiment run TARGET=4, or =2..8"),
            ("worker_max_memory_per_child", "regiment run --max-memory"),
            (
                "worker_prefetch_multiplier worker_disable_prefetch",
                "tasks that wait behind a slow one go back by themselves",
            ),
            ("task_track_started task_send_sent_event task_remote_tracebacks result_extended", "it is always so"),
            ("task_publish_retry task_publish_retry_policy", "a push tries again for push_timeout"),
            ("broker_transport_options", "a lease is renewed while its task runs, so no visibility_timeout is needed"),
            ("beat_schedule_filename beat_max_loop_interval beat_sync_every", "ticks are kept in the store"),
            ("task_protocol task_queue_max_priority task_allow_error_cb_on_chord_header", "there is one protocol"),
            ("result_compression result_cache_max result_exchange result_exchange_type", _ONE_STORE),
        )
        for name in names.split()
    },
}
_FAMILIES = {
    "broker_": "the connector keeps its connections by itself",
    "worker_": "workers are told by `regiment run` and docs/settings.md",
    "beat_": "ticks are kept in the store",
    "control_": "commands read the store: docs/operating.md",
    "event_": "the log, hooks and `regiment metrics` tell what happens",
    "result_": _ONE_STORE,
    **dict.fromkeys(
        ["redis_", "mongodb_", "database_", "cache_", "cassandra_", "elasticsearch_", "s3_", "gcs_", "azureblockblob_", "arangodb_", "couchbase_", "cosmosdbsql_", "dynamodb_"],
        _ONE_STORE,
    ),
}
"""How the names of settings begin that have no effect here, and why."""
_OLD = {
    "celerybeat_schedule": "beat_schedule",
    "default_queue": "task_default_queue",
    "routes": "task_routes",
    "queues": "task_queues",
    "always_eager": "task_always_eager",
    "eager_propagates_exceptions": "task_eager_propagates",
    "task_result_expires": "result_expires",
    "acks_late": "task_acks_late",
    "ignore_result": "task_ignore_result",
    "track_started": "task_track_started",
    "celeryd_task_time_limit": "task_time_limit",
    "celeryd_task_soft_time_limit": "task_soft_time_limit",
    "celeryd_concurrency": "worker_concurrency",
    "celeryd_prefetch_multiplier": "worker_prefetch_multiplier",
    "celeryd_max_tasks_per_child": "worker_max_tasks_per_child",
}
DEFAULTS: Mapping[str, Any] = {
    "task_default_queue": "celery",
    "timezone": "UTC",
    "enable_utc": True,
    "result_expires": 86_400.0,
    "task_acks_late": True,
    "beat_schedule": {},
    "task_routes": {},
    "task_queues": (),
    "task_always_eager": False,
    "task_eager_propagates": False,
    "task_ignore_result": False,
}
_SCHEMES = {
    "redis": "redis",
    "rediss": "rediss",
    "redis+socket": "unix",
    "mongodb": "mongodb",
    "mongodb+srv": "mongodb+srv",
    "memory": "memory",
    "sqlite": "sqlite",
    "sqla+sqlite": "sqlite",
    "unix": "unix",
    "redis+cluster": "redis+cluster",
    "redis+sentinel": "redis+sentinel",
}
"""Scheme of a broker's URL -> that of a store."""
COMPRESSORS = {
    "gzip": "gzip",
    "zlib": "zlib",
    "bzip2": "bzip2",
    "lzma": "lzma",
    "xz": "lzma",
    "zstd": "zstd",
    "zstandard": "zstd",
}


class Conf(MutableMapping[str, Any]):
    """Settings by name, as attributes and items; `Refused` for one that cannot be had."""

    def __init__(self, changed: Any) -> None:
        self.__dict__.update(_set={}, _changed=changed)

    def __getitem__(self, name: str) -> Any:
        name = modern(name)
        if name in self._set:
            return self._set[name]
        if name in DEFAULTS:
            return DEFAULTS[name]
        return self._absent(name)

    def _absent(self, name: str) -> Any:
        if name in SETTINGS:
            return None
        raise KeyError(name)

    def __setitem__(self, name: str, value: Any) -> None:
        name = modern(name)
        check(name, value)
        self._set[name] = value
        self._changed()

    def __delitem__(self, name: str) -> None:
        del self._set[modern(name)]
        self._changed()

    def __iter__(self) -> Iterator[str]:
        return iter(self._set)

    def __len__(self) -> int:
        return len(self._set)

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"app.conf has no {name!r}.{nearest(modern(name), SETTINGS)}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def read(self, source: Any, namespace: str = "") -> None:
        """Take the settings of an object, a mapping, or what a path names ("celeryconfig", "django.conf:settings")."""
        found = _object(source)
        names = list(found) if isinstance(found, Mapping) else dir(found)
        prefix = f"{namespace}_" if namespace else ""
        for name in names:
            if not isinstance(name, str) or name.startswith("_") or not name.startswith(prefix):
                continue
            value = found[name] if isinstance(found, Mapping) else getattr(found, name)
            inner = modern(name.removeprefix(prefix))
            if namespace or _known(inner):
                self[inner] = value


def _object(source: Any) -> Any:
    if not isinstance(source, str):
        return source
    module, _, name = source.partition(":")
    found: Any = (
        import_module(module)
        if _ or not _has_attribute(source)
        else getattr(import_module(source.rpartition(".")[0]), source.rpartition(".")[2])
    )
    return getattr(found, name) if name else found


def _has_attribute(source: str) -> bool:
    """True if a dotted path ends in an object of a module and not in a module."""
    head, _, last = source.rpartition(".")
    return bool(head) and hasattr(import_module(head), last)


def modern(name: str) -> str:
    """The name of a setting since Celery 4, for that one and older ones."""
    low = name.lower()
    low = _OLD.get(low, low)
    if low not in SETTINGS and low.startswith("celery_"):
        low = low.removeprefix("celery_")
        low = _OLD.get(low, low)
    return low


def _known(name: str) -> bool:
    return name in SETTINGS or any(name.startswith(one) for one in _FAMILIES)


def verdict_of(name: str) -> Option | None:
    """What becomes of a setting; None for one that nobody knows."""
    name = modern(name)
    family = next((says for begin, says in _FAMILIES.items() if name.startswith(begin)), None)
    return SETTINGS.get(name) or (Option(IGNORED, family) if family else None)


def check(name: str, value: Any) -> None:
    """`Refused` for a setting that cannot be had, or nobody knows."""
    option = verdict_of(name)
    if option is None:
        raise Refused(f'app.conf has no setting "{name}".{nearest(name, SETTINGS)}')
    if option.verdict == REFUSED and not any(value == one for one in option.fine):
        raise Refused(f"{name}={seen(value)} cannot be had here; {option.says}")
    if option.verdict == IGNORED and value is not None:
        tell(f"{name} has no effect here: {option.says}")
    special = _CHECKS.get(name)
    if special is not None and value is not None:
        special(value)


def _check_broker(value: Any) -> None:
    store_of(value)


def _check_pool(value: Any) -> None:
    if value not in ("prefork", "processes", "solo", "threads"):
        raise Refused(
            f"worker_pool={seen(value)} cannot be had here; expected prefork, solo or threads. For coroutines write tasks with "
            f'async def in a Queue(executor="asyncio")'
        )


def _check_serializer(value: Any) -> None:
    if value not in ("json", "msgpack"):
        key = (
            ' Pickle runs whatever the store holds: regiment={"serializer": Use("pickle", key=…)}'
            if value == "pickle"
            else ""
        )
        raise Refused(f"task_serializer={seen(value)} cannot be had here; expected json or msgpack.{key}")


def _check_compression(value: Any) -> None:
    if value not in COMPRESSORS:
        raise Refused(f"task_compression={seen(value)} cannot be had here; expected one of {', '.join(COMPRESSORS)}")


_CHECKS = {
    "broker_url": _check_broker,
    "worker_pool": _check_pool,
    "task_serializer": _check_serializer,
    "task_compression": _check_compression,
}


def store_of(url: Any) -> Any:
    """The connector of a broker's URL; `Refused` for a broker that keeps no tasks as a store does.

    Where REGIMENT_CONNECTOR is set, it says where such a broker's tasks are kept.
    """
    if url is None or isinstance(url, Use):
        return url
    if isinstance(url, (list, tuple)) and len(url) == 1:
        url = url[0]
    if not isinstance(url, str) or ";" in url:
        raise Refused(
            f"broker_url is {seen(url)}; expected one URL: a cluster or sentinels have a URL of their own (docs/redis.md)"
        )
    scheme, colon, rest = url.partition("://")
    if not colon:
        scheme, rest = url.rstrip(":"), ""
    if scheme == "sentinel":
        raise Refused("broker_url begins with sentinel://; write redis+sentinel://host:26379/NAME (docs/redis.md)")
    found = _SCHEMES.get(scheme)
    if found is not None:
        return f"{found}://{rest}"
    if os.environ.get(CONNECTOR_VARIABLE):
        return None
    raise Refused(
        f"broker_url begins with {scheme!r}, and tasks are kept in Redis, MongoDB or SQLite: write redis://…, mongodb://… or "
        f"sqlite:///queue.db, or set {CONNECTOR_VARIABLE}"
    )


def limits(soft: float | None, hard: float | None) -> Timeouts:
    """The limits of a task, in seconds."""
    return Timeouts(hard=hard, soft=soft)


def lifetime(value: Any) -> float | None:
    """`result_expires` in seconds; None for results that are kept as long as can be."""
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    return float(seconds) if seconds else None


def matches(pattern: Any, name: str) -> bool:
    """True if a route's pattern (a name, a glob, or a compiled expression) is for this task."""
    if isinstance(pattern, re.Pattern):
        return bool(pattern.match(name))
    from fnmatch import fnmatchcase

    return fnmatchcase(name, str(pattern))
