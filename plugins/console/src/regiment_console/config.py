"""`regiment config`: every setting of a worker, its value and where it comes from; secrets are masked."""

from __future__ import annotations

import textwrap
from typing import Any

import click

from regiment import masking
from regiment.build import connector_use
from regiment.config import Use, WorkerConfig, as_use
from regiment.errors import ConfigError, PluginError
from regiment.masking import Url, shown_url
from regiment.options import is_secret
from regiment.queue import Queue
from regiment.registry import registry
from regiment.worker import Worker
from regiment_cli import targets
from regiment_cli.options import json_option, settings
from regiment_cli.printing import put
from regiment_cli.terminal import show_json
from regiment_cli.text import many, table

KINDS = {
    "connector": "connectors",
    "serializer": "serializers",
    "compressor": "compressors",
    "executor": "executors",
    "killer": "killers",
}
DEFAULT = "default"
"""What the origin of a value begins with that nobody has chosen."""
SECRET_WORDS = ("password", "secret", "token", "key", "credential")


@click.command("config")
@click.argument("target")
@click.option("--all", "everything", is_flag=True, help="Also the settings that have their default.")
@json_option
def command(target: str, everything: bool, as_json: bool) -> None:
    """Print the settings of the workers of TARGET, and where each value came from: what was chosen first."""
    settings().reach_application()
    found = {label: origins(face) for label, face in targets.find(target).items()}
    if as_json:
        show_json(
            {
                label: {name: {"value": value, "from": origin} for name, value, origin in rows}
                for label, rows in found.items()
            }
        )
        return
    for number, (label, rows) in enumerate(found.items()):
        put(("\n" if number else "") + label)
        chosen = [row for row in rows if not row[2].startswith(DEFAULT)]
        default = [row for row in rows if row[2].startswith(DEFAULT)]
        put(textwrap.indent(table(chosen + default * everything, ("setting", "value", "from")), "  "))
        if default and not everything:
            put(
                f"  {many(len(default), 'more setting')} {'has its' if len(default) == 1 else 'have their'} default: --all"
            )


def origins(face: Any) -> list[tuple[str, str, str]]:
    """(setting, value as shown, where it comes from) of a face."""
    config: WorkerConfig = face.outlet.config()
    said, rows = _said(face), []
    defaults = WorkerConfig(name=config.name).values()
    for name, value in config.values().items():
        origin = said if name == "name" or value != defaults[name] else "default"
        if name in KINDS:
            value, origin = _part(config, name, value, origin)
        rows.append((name, _shown(value, KINDS.get(name), config), origin))
    if isinstance(face, Queue):
        for task in face.tasks.values():
            rows += [
                (f"{task.name}: {name}", _shown(value, None, config), f"@task({name}=…)")
                for name, value in task.settings.items()
            ]
    return rows


def _said(face: Any) -> str:
    """The place where a face's settings are written."""
    if isinstance(face, Queue):
        return "keyword of Queue(…)"
    if face.generate_config is not Worker.generate_config:
        return f"{face.__name__}.generate_config()"
    return f"class attribute {face.__name__}.config"


def _part(config: WorkerConfig, name: str, value: Any, origin: str) -> tuple[Any, str]:
    """The value in use for a setting that leaves the choice to another one."""
    if name == "connector" and value is None:
        use, where = connector_use(config)
        return use, where
    if name == "executor" and config.executor_use() != as_use(value):
        return config.executor_use(), "number_of_threads"
    if name == "killer" and value is None:
        try:
            _, executor = registry().scope(config.plugins).resolve("executors", config.executor_use())
        except PluginError:
            return None, "default"
        return Use(executor.default_killer), f"default of executor {config.executor_use().name}"
    return value, origin


def _shown(value: Any, kind: str | None, config: WorkerConfig) -> str:
    if isinstance(value, tuple) and value and all(isinstance(one, type) for one in value):
        return ", ".join(one.__qualname__ for one in value)
    if kind is None or value is None:
        return masking.shown(value)
    try:
        return _use_shown(as_use(value), kind, config)
    except ConfigError as error:
        return str(error)


def _use_shown(use: Use, kind: str, config: WorkerConfig) -> str:
    try:
        name, cls = registry().scope(config.plugins).resolve(kind, use)
    except Exception:  # not installed, or broken: its options cannot be asked, so their names must tell
        name, cls = use.scheme or use.name, None
    options = {option: _option_shown(cls, option, value) for option, value in use.options.items()}
    listed = ", ".join(f"{option}={value}" for option, value in options.items())
    missing = "" if cls else " (cannot be loaded: regiment check says why)"
    return f"{name}({listed}){missing}" if listed else f"{name}{missing}"


def _option_shown(cls: Any, option: str, value: Any) -> str:
    if isinstance(value, Url) or (isinstance(value, str) and "://" in value):
        return repr(shown_url(value))  # a URL helps; its password does not
    secret = cls is None or is_secret(cls, option) or _sounds_secret(option)
    plain = isinstance(value, (str, int, float, type(None)))  # a mapping has names of its own
    return masking.shown(value) if plain and not secret else "***"


def _sounds_secret(option: str) -> bool:
    return any(word in option.lower() for word in SECRET_WORDS)
