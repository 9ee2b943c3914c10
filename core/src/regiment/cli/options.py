"""What all verbs share: the global options, and the kind of verb that has verbs of its own."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from regiment.errors import nearest

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
        """Check the application's folder and tell the registry of plugins; once, before a verb runs."""
        if self._applied:
            return
        self._applied = True
        if not os.path.isdir(self.app_dir):
            raise click.BadParameter(f"{self.app_dir!r} is no folder", param_hint="--app-dir")
        if self.plugins or self.blocked:
            from regiment.registry import use_plugins

            use_plugins(self.plugins, self.blocked)
        if self.plugins or os.environ.get("REGIMENT_PLUGINS"):
            # A plugin that is named may lie beside the application; what is installed comes first.
            sys.path.append(self._folder())

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
            "--log-format",
            "log_format",
            type=click.Choice(STYLES),
            help="auto: console on a terminal, else json.  [default: auto]",
        ),
        option("--log-level", "log_level", type=click.Choice(LEVELS, case_sensitive=False), help="[default: INFO]"),
        option("--debug", "debug", is_flag=True, default=None, help="Show tracebacks."),
    ]


class Group(click.Group):
    """A verb with verbs of its own; without one it does its `default`."""

    def __init__(self, *args: Any, default: str = "list", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.default = default

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = [self.default, *args]
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.commands:
            known = list(self.commands)
            raise click.UsageError(
                f'regiment {ctx.info_name} has no "{args[0]}".{nearest(args[0], known)} There are: {", ".join(known)}',
                ctx,
            )
        return super().resolve_command(ctx, args)
