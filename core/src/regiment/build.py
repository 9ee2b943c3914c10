"""From a configuration to the parts that push: connector, codec, broker."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from regiment import config as defaults
from regiment.broker import Broker, refuse_without
from regiment.codec import Codec
from regiment.config import CONNECTOR_VARIABLE, Use, WorkerConfig, as_use
from regiment.contracts import Connector
from regiment.errors import ConfigError
from regiment.options import check_options
from regiment.registry import Registry, made, registry


def connector_use(config: WorkerConfig) -> tuple[Use, str]:
    """The connector of a configuration, and where it was set."""
    use, where = connector_choice(config)
    return with_durability(config, use), where


def with_durability(config: WorkerConfig, use: Use) -> Use:
    """The use of a connector, with the configured durability of pushes."""
    if config.push_durability is None:
        return use
    return Use(use.name, **{**use.options, "push_durability": config.push_durability})


def connector_choice(config: WorkerConfig) -> tuple[Use, str]:
    """The connector that the configuration, the environment or the default names, and where it was set."""
    if config.connector is not None:
        return as_use(config.connector), "WorkerConfig(connector=…)"
    url = config.surroundings.connector
    if url:
        return as_use(url), f"the environment ({CONNECTOR_VARIABLE})"
    return Use(defaults.DEFAULT_CONNECTOR), f"the default ({CONNECTOR_VARIABLE} is not set)"


def make_connector(config: WorkerConfig, where: str = "") -> Callable[[], Connector]:
    """A function that builds the configured connector, unopened. Problems raise here, not later."""
    _, cls, options = located(config, registry().scope(config.plugins), where)
    return partial(cls, **options)


def located(config: WorkerConfig, reg: Registry, where: str) -> tuple[str, Any, dict[str, Any]]:
    """Name, class and options of the configured connector. Paths in them are relative to the folder where the
    configuration was made: a connector with such options has a class method `located(options, folder)`, which
    returns them absolute.
    """
    use, _ = connector_use(config)
    name, cls = reg.resolve("connectors", use, where)
    problems = check_options(f"connector {name!r}", cls, use.options)
    if problems:
        raise ConfigError(problems)
    folder, options = config.surroundings.folder, use.options
    if folder is not None and hasattr(cls, "located"):
        options = cls.located(options, folder)
    for extra, plugin in reg.said("needs").items():
        refuse_without(extra, f"the plugin {plugin.partition(' (')[0]} needs", cls(**options), reg)
    return name, cls, options


def also_accepted(config: WorkerConfig) -> list[str | Use]:
    """What `accept` lists beside the configured serializer."""
    if not isinstance(config.accept, (tuple, list)):
        return []
    own = as_use(config.serializer).name if isinstance(config.serializer, (str, Use)) else ""
    return [one for one in config.accept if isinstance(one, (str, Use)) and as_use(one).name != own]


def make_codec(config: WorkerConfig, reg: Registry) -> Codec:
    """The configured serializer and compressor. Others, for reading, are found when a message names them: those that
    `accept` lists with their configured options, all others among the offers.
    """
    named = {use.name: use for use in map(as_use, also_accepted(config))}

    def found(kind: str, listed: dict[str, Use]) -> Callable[[str], Any]:
        def find(name: str) -> Any:
            if name in listed:
                return reg.build(kind, listed[name])
            cls = reg.offered(kind, name)
            if getattr(cls, "executes", False):
                return cls  # not built: the codec refuses it because of this mark
            return made(kind, name, cls, {})

        return find

    serializer = as_use(config.serializer)
    compressor = None if config.compressor is None else as_use(config.compressor)
    return Codec(
        (serializer.name, reg.build("serializers", serializer)),
        None if compressor is None else (compressor.name, reg.build("compressors", compressor)),
        payload_limit=config.payload_limit,
        find_serializer=found("serializers", named),
        find_compressor=found("compressors", {}),
        accept=None if config.accept is None else frozenset([serializer.name, *named]),
    )


def make_broker(config: WorkerConfig, where: str = "") -> Broker:
    """Everything that a program needs to push: connector, codec, and the plugins that observe pushes."""
    problems = config.check()
    if problems:
        raise ConfigError([f"{where}: {problem}" if where else problem for problem in problems])
    reg = registry().scope(config.plugins)
    reg.refuse()
    return heard(Broker(make_connector(config, where), make_codec(config, reg), config), reg)


def heard(broker: Broker, reg: Registry) -> Broker:
    """A broker that asks and tells the plugins of its queue."""
    asked, around = reg.hooks("regiment_push"), reg.hooks("regiment_around_push")
    broker.asked = (asked, around) if asked or around else ()
    broker.observers = [call for _, call in reg.hooks("regiment_tasks_pushed")]
    return broker
