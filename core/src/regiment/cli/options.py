"""What all verbs share: the global options, and the kind of verb that has verbs of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

STYLES = ("auto", "console", "json", "off")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


class Globals:
    """What the global options say, wherever on the line they stood."""

    def __init__(self) -> None:
        self.app_dir = "."
        self.plugins: list[str] = []
        self.blocked: list[str] = []
        self.log_format, self.log_level = "auto", "INFO"
        self.debug = False
        self._applied = False

    def apply(self) -> None:
        """Put the application's folder on `sys.path` and tell the registry of plugins; once, before a verb runs."""
        if self._applied:
            return
        self._applied = True
        folder = os.path.abspath(self.app_dir)
        if not os.path.isdir(folder):
            raise click.BadParameter(f"{self.app_dir!r} is no folder", param_hint="--app-dir")
        if sys.path and sys.path[0] in ("", os.getcwd()):
            del sys.path[0]  # `python -m` put it there
        sys.path.insert(0, folder)
        if self.plugins or self.blocked:
            from regiment.registry import use_plugins

            use_plugins(self.plugins, self.blocked)


_said = Globals()


def settings() -> Globals:
    """The global options of this run."""
    return _said


def _note(ctx: click.Context, option: click.Parameter, value: Any) -> None:
    if value is None or value == () or value is False:
        return
    if option.name in ("plugins", "blocked"):
        getattr(_said, option.name).extend(value)
    else:
        setattr(_said, str(option.name), value)


def global_options(*, hidden: bool) -> list[click.Option]:
    """The global options: visible on `regiment` itself, hidden on every verb."""

    def option(*names: str, **how: Any) -> click.Option:
        return click.Option(names, callback=_note, expose_value=False, is_eager=True, hidden=hidden, **how)

    return [
        option("--app-dir", "app_dir", metavar="DIR", help="Folder of the application, put on sys.path.  [default: .]"),
        option(
            "--plugin",
            "plugins",
            multiple=True,
            metavar="MODULE",
            help="A plugin that is not packaged; may be repeated.",
        ),
        option(
            "--no-plugin",
            "blocked",
            multiple=True,
            metavar="NAME",
            help="A plugin or distribution to leave out; may be repeated.",
        ),
        option(
            "--log-format",
            "log_format",
            type=click.Choice(STYLES),
            help="auto: console on a terminal, else json.  [default: auto]",
        ),
        option("--log-level", "log_level", type=click.Choice(LEVELS, case_sensitive=False), help="[default: INFO]"),
        option("--debug", "debug", is_flag=True, default=None, help="Show tracebacks."),
    ]


F = TypeVar("F", bound=Callable[..., Any])


def json_option(function: F) -> F:
    """`--json`: one document on stdout."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON document.")(function)
