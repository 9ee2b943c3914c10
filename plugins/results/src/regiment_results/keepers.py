"""Plugins that keep large values elsewhere: asked by whoever keeps what tasks return, or reads it.

Such a plugin has the two attributes and the two methods of `Keeper`; it stands in `plugins=` of the queue, as this one does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from regiment import log
from regiment.codec import Codec
from regiment.contracts import Followed
from regiment.errors import PayloadTooLarge
from regiment.known import written
from regiment.registry import registry

if TYPE_CHECKING:
    from regiment.config import WorkerConfig

OURS = frozenset({"large", "refused", "piece"})
"""Why a record has no value, in words of our own; no plugin keeps under one of these."""


class Keeper(Protocol):
    """A plugin that keeps values elsewhere."""

    keeps_as: str
    """What a record names it by: its name as an extension."""
    keeps_above: int
    """Bytes of an outcome above which it is asked."""

    def keep_value(self, value: Any, ttl: float, config: WorkerConfig) -> Any:
        """Keep a value for `ttl` seconds at least; what stands for it in the record, as plain data. In the worker; what it
        raises leaves the value where it was, if it fits, or else out, in words.
        """

    def kept_value(self, kept: Any, config: WorkerConfig, what: str) -> Any:
        """The value for which that stands. In any thread; what it raises reaches who asks. `what` says whose value it is."""


Keepers = Mapping[str, Keeper]
"""By their names."""


def keepers_of(config: WorkerConfig) -> Keepers:
    """The plugins of a queue that keep values elsewhere."""
    plugins: list[Any] = [plugin for _, plugin in registry().scope(config.plugins).pm.list_name_plugin()]
    found: dict[str, Any] = {one.keeps_as: one for one in plugins if hasattr(one, "keep_value")}
    return {name: plugin for name, plugin in found.items() if name not in OURS}


def least(keepers: Keepers, limit: int) -> int:
    """Bytes of an outcome above which somebody is asked, or it is too large."""
    return min([limit, *(one.keeps_above for one in keepers.values())])


def weighed(
    keepers: Keepers,
    codec: Codec,
    make: Callable[..., list[Any]],
    where: Followed,
    value: Any,
    ttl: float,
    config: WorkerConfig,
) -> tuple[bytes, tuple[Any, ...]]:
    """The bytes of an outcome with its value; or none, and what its record says instead, where a keeper has taken the value.

    One that fails leaves it where it was; what no message could hold raises as ever.
    """
    packed, wrong = b"", None
    try:
        packed = codec.pack(make(), where)
    except PayloadTooLarge as error:
        wrong = error
    for name, keeper in keepers.items() if value is not None else ():
        if wrong is not None or len(packed) > keeper.keeps_above:
            try:
                return b"", (name, keeper.keep_value(value, ttl, config))
            except Exception as error:
                if wrong is not None:
                    raise
                text = f"{type(error).__name__}: {error}"[:500]
                log.event(logging.WARNING, "result.not_elsewhere", plugin=name, why=text, **log.attempt_fields())
    if wrong is not None:
        raise wrong
    return packed, ()


def fetched(keepers: Keepers, lack: tuple[Any, ...], config: WorkerConfig, what: str) -> Any:
    """The value that a keeper has; `LookupError` in words if none of that name is here."""
    keeper = keepers.get(lack[0])
    if keeper is None:
        raise LookupError(f"it is kept by a plugin that this queue does not name here: {written(str(lack[0])[:40])}")
    return keeper.kept_value(lack[1], config, what)
