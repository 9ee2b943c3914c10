"""What all verbs share: the global options, and the kind of verb that has verbs of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from regiment_cli.said import LEVELS, STYLES, settings


def _note(ctx: click.Context, option: click.Parameter, value: Any) -> None:
    if value is None or value == () or value is False:
        return
    if option.name in ("plugins", "blocked"):
        getattr(settings(), option.name).extend(value)
    else:
        setattr(settings(), str(option.name), value)


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


__all__ = ["global_options", "json_option", "settings"]

F = TypeVar("F", bound=Callable[..., Any])


def json_option(function: F) -> F:
    """`--json`: one document on stdout."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON document.")(function)
