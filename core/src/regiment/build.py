"""TODO"""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from regiment import config as defaults
from regiment.broker import Broker
from regiment.codec import Codec
from regiment.config import Timeouts, Use, WorkerConfig, as_use
from regiment.contracts import Connector, Terms
from regiment.errors import ConfigError, PluginError
from regiment.options import check_options, is_secret
from regiment.registry import Registry, registry
from regiment_runner.shared import page
from regiment_runner.worker.runtime import Application, hooks_of

CONNECTOR_VARIABLE = "REGIMENT_CONNECTOR"


def connector_use(config: WorkerConfig) -> tuple[Use, str]:
    """What a configuration's connector is, and where that was said."""
    use, where = _connector_choice(config)
    return _with_durability(config, use), where


def _connector_choice(config: WorkerConfig) -> tuple[Use, str]:
    if config.connector is not None:
        return as_use(config.connector), "WorkerConfig(connector=…)"
    url = os.environ.get(CONNECTOR_VARIABLE)
    if url:
        return as_use(url), f"the environment ({CONNECTOR_VARIABLE})"
    return Use(defaults.DEFAULT_CONNECTOR), f"the default ({CONNECTOR_VARIABLE} is not set)"


def make_connector(config: WorkerConfig, where: str = "") -> Callable[[], Connector]:
    """A function that builds the configured connector, unopened. Problems are raised here, not later."""
    reg = registry(config.plugins)
    use, _ = connector_use(config)
    name, cls = reg.resolve("connectors", use, where)
    problems = check_options(f"connector {name!r}", cls, use.options)
    if problems:
        raise ConfigError(problems)
    return partial(cls, **use.options)


def make_codec(config: WorkerConfig, reg: Registry) -> Codec:
    """The configured serializer and compressor; others, for reading, are found by name when a message names them."""

    def found(kind: str) -> Callable[[str], Any]:
        cache: dict[str, Any] = {}

        def find(name: str) -> Any:
            if name not in cache:
                try:
                    cache[name] = reg.build(kind, Use(name))
                except (
                    PluginError
                ) as error:  # a ConfigError: its options (a key) are another queue's, and will not come
                    raise LookupError(str(error)) from error
            return cache[name]

        return find

    serializer = as_use(config.serializer)
    compressor = None if config.compressor is None else as_use(config.compressor)
    return Codec(
        (serializer.name, reg.build("serializers", serializer)),
        None if compressor is None else (compressor.name, reg.build("compressors", compressor)),
        payload_limit=config.payload_limit,
        find_serializer=found("serializers"),
        find_compressor=found("compressors"),
    )


def make_broker(config: WorkerConfig, where: str = "") -> Broker:
    """What a program needs to push: connector, codec, and the plugins that want to know of pushes."""
    problems = config.check()
    if problems:
        raise ConfigError([f"{where}: {problem}" if where else problem for problem in problems])
    reg = registry(config.plugins)
    broker = Broker(make_connector(config, where), make_codec(config, reg), config)
    broker.headers = [call for _, call in reg.hooks("regiment_push_headers")]
    broker.observers = [call for _, call in reg.hooks("regiment_tasks_pushed")]
    return broker
