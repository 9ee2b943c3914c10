"""The setting `REGIMENT`: what it may say, and what is wrong with it, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from regiment.bounds import seen
from regiment.config import WorkerConfig
from regiment.errors import nearest

KEYS = ("connector", "defaults", "queues", "on_commit", "using", "outbox", "modules", "dashboard")
FIELDS = tuple(name for name in WorkerConfig._defaults if name != "name")
"""What can be said of a queue."""
MODULES = ("tasks",)
"""Modules of each application that are imported at the start, if `modules` says nothing else."""
DASHBOARD = "/regiment/"
"""Where the dashboard is, if `dashboard` says nothing else."""


def said() -> Mapping[str, Any]:
    """The setting, or nothing."""
    from django.conf import settings

    found = getattr(settings, "REGIMENT", {})
    return found if isinstance(found, Mapping) else {}


def modules() -> tuple[str, ...]:
    """Names of the modules that are looked for in each application."""
    found = said().get("modules", MODULES)
    return (found,) if isinstance(found, str) else tuple(found)


def dashboard() -> str:
    """Where the dashboard is: a path of this project, or the URL of one that is served elsewhere."""
    return str(said().get("dashboard", DASHBOARD))


def of_queue(name: str) -> dict[str, Any]:
    """What the setting says of a queue: fields of `WorkerConfig`. What is no field is for the system check to tell."""
    setting = said()
    connector = setting.get("connector")
    found: dict[str, Any] = {} if connector is None else {"connector": connector}
    for part in (setting.get("defaults"), _mapping(setting.get("queues")).get(name)):
        found.update({field: value for field, value in _mapping(part).items() if field in FIELDS})
    return found


def of_transactions() -> dict[str, Any]:
    """What the setting says of pushes in a transaction: options of the extension."""
    return {key: said()[key] for key in ("on_commit", "using", "outbox") if key in said()}


def problems() -> list[str]:
    """All that is wrong with the setting, one sentence each."""
    from django.conf import settings

    setting = getattr(settings, "REGIMENT", {})
    if not isinstance(setting, Mapping):
        return [f"REGIMENT is {seen(setting)}; expected a dict with keys among {', '.join(KEYS)}"]
    found = [
        f'REGIMENT has no key "{key}".{nearest(str(key), KEYS)} It has: {", ".join(KEYS)}'
        for key in setting
        if key not in KEYS
    ]
    found += _fields('REGIMENT["defaults"]', setting.get("defaults", {}))
    queues = setting.get("queues", {})
    if not isinstance(queues, Mapping):
        return [*found, f'REGIMENT["queues"] is {seen(queues)}; expected a dict, name of a queue: its settings']
    for name, fields in queues.items():
        found += _fields(f'REGIMENT["queues"]["{name}"]', fields)
    found += transactions(of_transactions()) + _modules(setting.get("modules", MODULES))
    return found + _dashboard(setting.get("dashboard", DASHBOARD))


def transactions(options: Mapping[str, Any]) -> list[str]:
    """What is wrong with what is said of pushes in a transaction."""
    found = []
    if not isinstance(options.get("on_commit", True), bool):
        found.append(f"on_commit is {seen(options['on_commit'])}; expected True or False")
    for key in ("using", "outbox"):
        alias = options.get(key)
        if alias is not None and not isinstance(alias, str):
            found.append(f"{key} is {seen(alias)}; expected the alias of a database, or None")
    return found


def aliases(options: Mapping[str, Any]) -> list[str]:
    """Databases that are named and that the project does not have."""
    from django.db import connections

    named = {key: options.get(key) for key in ("using", "outbox")}
    there = list(connections)
    return [
        f'{key} is "{alias}", and DATABASES has no such alias.{nearest(alias, there)} It has: {", ".join(there)}'
        for key, alias in named.items()
        if isinstance(alias, str) and alias not in there
    ]


def _fields(where: str, given: Any) -> list[str]:
    if not isinstance(given, Mapping):
        return [f"{where} is {seen(given)}; expected a dict of settings of a queue"]
    return [
        f'{where} has "{field}", which is no setting of a queue.{nearest(str(field), FIELDS)}'
        for field in given
        if field not in FIELDS
    ]


def _modules(given: Any) -> list[str]:
    names = [given] if isinstance(given, str) else given
    if isinstance(names, (list, tuple)) and all(isinstance(name, str) and name.isidentifier() for name in names):
        return []
    return [f'REGIMENT["modules"] is {seen(given)}; expected a list of names of modules, such as ["tasks"]']


def _dashboard(given: Any) -> list[str]:
    if isinstance(given, str) and given.startswith(("/", "https://", "http://")) and given != "/":
        return []
    return [f'REGIMENT["dashboard"] is {seen(given)}; expected a path such as "/regiment/", or a URL']


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
