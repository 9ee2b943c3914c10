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
from regiment_celery.options import IGNORED, REFUSED, Refused, tell
from regiment_celery.settings import DEFAULTS, SETTINGS, known, modern, verdict_of

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
            if namespace or known(inner):
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
