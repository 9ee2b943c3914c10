"""Verbs as offers of plugins: a click command is found by name, and loaded when it is used.

A verb's name may have two words: `plugins check` joins the verb `plugins`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from regiment.cli.options import global_options, settings
from regiment.errors import PluginError, nearest
from regiment.hooks import Offer
from regiment.known import COMMANDS


def offers(group: str = "") -> dict[str, Offer]:
    """Name -> offer of the verbs of plugins, ours first; of a group, the second words of those that join it."""
    from regiment.registry import registry

    found = registry().offers("commands")
    ordered = [name for name in COMMANDS if name in found]
    ordered += sorted(found.keys() - COMMANDS.keys())
    words = {name: name.partition(" ") for name in ordered}
    if group:
        return {words[name][2]: found[name] for name in ordered if words[name][0] == group and words[name][2]}
    return {name: found[name] for name in ordered if not words[name][2]}


def load(name: str) -> click.Command:
    """The verb of this name, ready to be used; `PluginError` if it cannot be loaded or is no command."""
    from regiment.config import Use
    from regiment.registry import registry

    _, found = registry().resolve("commands", Use(name))
    made: Any = found
    if not isinstance(made, click.Command):
        raise PluginError(f'the command "{name}" of a plugin is {made!r}; expected a click command')
    return adopt(made)


def missing(name: str, known: list[str]) -> str:
    """What to say of a verb that is not here: where it is, or which one was meant."""
    home = COMMANDS.get(name)
    if home is not None:
        return f'no command "{name}". It is in {home}: pip install {home}'
    return f'no command "{name}".{nearest(name, known)} There are: {", ".join(known)}'


def adopt(command: click.Command) -> click.Command:
    """Let a command take the global options after its own name, and obey them before it runs."""
    if getattr(command, "_regiment", False):
        return command
    command._regiment = True  # type: ignore[attr-defined]
    if isinstance(command, click.Group):
        for sub in command.commands.values():
            adopt(sub)
        return command
    taken = {name for param in command.params for name in param.opts}
    command.params += [option for option in global_options(hidden=True) if not taken.intersection(option.opts)]
    if command.callback is not None:
        command.callback = _obeying(command.callback)
    return command


def _obeying(callback: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(callback)
    def run(*args: Any, **kwargs: Any) -> Any:
        settings().apply()
        return callback(*args, **kwargs)

    return run


class Group(click.Group):
    """A verb with verbs of its own, its own and those of plugins; without one it does its `default`."""

    def __init__(self, *args: Any, default: str = "list", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.default = default

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = [self.default, *args]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        settings().know_plugins()
        return [*self.commands, *(name for name in offers(self.name or "") if name not in self.commands)]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name in self.commands:
            return self.commands[name]
        settings().know_plugins()
        return load(f"{self.name} {name}") if name in offers(self.name or "") else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The lines of the verbs that join stand in their offers: `--help` loads none of them."""
        lines = [(name, own.get_short_help_str(90)) for name, own in self.commands.items()]
        settings().know_plugins()
        lines += [(name, offer.summary) for name, offer in offers(self.name or "").items() if name not in self.commands]
        with formatter.section("Commands"):
            formatter.write_dl(lines)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        found = self.get_command(ctx, args[0])
        if found is None:
            known, whole = self.list_commands(ctx), f"{self.name} {args[0]}"
            home = COMMANDS.get(whole)
            if home is not None:
                raise PluginError(missing(whole, known))
            raise click.UsageError(
                f'regiment {ctx.info_name} has no "{args[0]}".{nearest(args[0], known)} There are: {", ".join(known)}',
                ctx,
            )
        return args[0], found, args[1:]
