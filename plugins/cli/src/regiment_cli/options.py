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
        self._told: tuple[str, ...] | None = None

    def apply(self) -> None:
        """Check the application's folder and tell the registry of plugins, before a verb runs."""
        if not os.path.isdir(self.app_dir):
            raise click.BadParameter(f"{self.app_dir!r} is no folder", param_hint="--app-dir")
        self.know_plugins()

    def know_plugins(self) -> None:
        """Tell the registry which plugins are named and which blocked, as far as the line was read: verbs are found by it,
        and more may be said behind a verb's own name.
        """
        told = (*self.plugins, "", *self.blocked)
        if told == self._told:
            return
        self._told = told
        if self.plugins or os.environ.get("REGIMENT_PLUGINS"):
            # A plugin that is named may lie beside the application; what is installed comes first.
            folder = self._folder()
            if folder not in sys.path:
                sys.path.append(folder)
        if self.plugins or self.blocked:
            from regiment.registry import use_plugins

            use_plugins(self.plugins, self.blocked)

    def reach_application(self) -> None:
        """Put the application's folder on `sys.path`: called by what imports an application, and by nothing else.

        Whatever lies in the current folder is imported before what is installed; a verb that only looks at a store has
        no business there.
        """
        folder = self._folder()
        if sys.path[:1] != [folder]:
            sys.path.insert(0, folder)

    def _folder(self) -> str:
        from regiment import installed

        folder = os.path.abspath(self.app_dir)
        installed.leave_out(folder)
        return folder


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
            "--log-format", type=click.Choice(STYLES), help="auto: console on a terminal, else json.  [default: auto]"
        ),
        option("--log-level", type=click.Choice(LEVELS, case_sensitive=False), help="[default: INFO]"),
        option("--debug", is_flag=True, default=None, help="Show tracebacks."),
    ]


F = TypeVar("F", bound=Callable[..., Any])


def json_option(function: F) -> F:
    """`--json`: one document on stdout."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON document.")(function)
