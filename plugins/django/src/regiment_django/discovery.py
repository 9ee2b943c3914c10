"""Setting a project up, and finding its tasks: every module of that name in every application, and no error is swallowed."""

from __future__ import annotations

import os
import sys
import traceback
from importlib import import_module
from types import ModuleType
from typing import Any

from regiment import pushing
from regiment.errors import ConfigError
from regiment.queue import Queue as PlainQueue
from regiment_django import conf

found: list[ModuleType] = []
"""The modules of tasks that were found, in the order of the applications."""


def set_up() -> None:
    """`django.setup()`, in words if it fails; then what is wrong with `REGIMENT`, which would else be passed over."""
    import django
    from django.apps import apps

    from regiment_django import connections

    if not apps.ready:
        try:
            django.setup()
        except Exception as error:
            frames = [one for one in traceback.extract_tb(error.__traceback__) if "importlib" not in one.filename]
            where = f"{frames[-1].filename} line {frames[-1].lineno}: {frames[-1].line}: " if frames else ""
            raise RuntimeError(f"django.setup() failed at {where}{type(error).__name__}: {error}") from error
    problems = [*conf.problems(), *conf.aliases(conf.of_transactions())]
    if problems:
        raise ConfigError(problems)
    connections.drop_in_children()


def discover() -> None:
    """Import the modules of tasks of all applications. An error in one is raised as it is: a task that is missing would
    else be missed when it is pushed, hours later. So is a push while they are imported.
    """
    from django.apps import apps
    from django.utils.module_loading import module_has_submodule

    del found[:]
    for app in apps.get_app_configs():
        for name in conf.modules():
            if not module_has_submodule(app.module, name):
                continue
            before, pushing.importing = pushing.importing, f"{app.name}.{name}"
            try:
                found.append(import_module(pushing.importing))
            finally:
                pushing.importing = before


def targets() -> dict[str, Any]:
    """ "module:name" -> queue of all that were found; a queue that several modules hold counts once."""
    named: dict[str, Any] = {}
    for module in found:
        for name, value in vars(module).items():
            queue = issubclass(type(value), PlainQueue) and not name.startswith("_")
            if queue and not any(value is one for one in named.values()):
                named[f"{module.__name__}:{name}"] = value
    return named


def settings_module() -> dict[str, Any]:
    """Where the settings of this project are, as plain data for a process without it; `ConfigError` if they are no module."""
    from django.conf import settings

    module = getattr(settings, "SETTINGS_MODULE", None) or os.environ.get("DJANGO_SETTINGS_MODULE")
    if not module:
        raise ConfigError("the settings come from settings.configure(); a worker needs DJANGO_SETTINGS_MODULE")
    ours = [path or os.getcwd() for path in sys.path if not path.startswith((sys.prefix, sys.base_prefix))]
    return {"settings": module, "path": ours}
