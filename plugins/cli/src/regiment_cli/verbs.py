"""Verbs as offers of plugins: a click command is found by name, and loaded when it is used.

A verb's name may have two words: `plugins check` joins the verb `plugins`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from regiment.errors import PluginError, nearest
from regiment.hooks import Offer
from regiment.known import COMMANDS
from regiment_cli.options import global_options, settings


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


_MEANT = {
    "queues": ("status",),
    "tasks": ("inspect", "list", "jobs"),
    "workers": ("ps", "nodes"),
    "top": ("logs", "events", "monitor", "watch"),
    "run": ("start", "worker"),
    "tasks cancel": ("revoke", "cancel", "kill"),
    "tasks find": ("find", "search"),
    "queues pause": ("pause", "cancel_consumer"),
    "queues resume": ("resume", "add_consumer"),
    "queues purge": ("purge",),
    "dead": ("failed",),
    "dead replay": ("retry", "replay", "requeue"),
    "workers drain": ("shutdown",),
    "cancel": ("tasks revoke", "tasks kill", "tasks delete"),
    "find": ("tasks search", "tasks grep"),
    "pause": ("queues stop",),
    "purge": ("queues clear", "queues delete", "dead delete"),
    "replay": ("dead retry", "dead requeue"),
    "try": ("dead run",),
    "drain": ("workers stop",),
    "quiet": ("workers pause",),
    "resume": ("queues start", "workers start"),
}
MEANT = {word: ours for ours, words in _MEANT.items() for word in words}
"""Verbs as people know them from elsewhere -> ours."""


class Verbs(click.Group):
    """Verbs of its own and those of plugins, each of these loaded when it is used."""

    first = ""
    """The first word of the verbs of plugins that join, if they have two."""

    def own(self) -> dict[str, str]:
        """Its own verbs -> their line in `--help`."""
        return {name: command.get_short_help_str(90) for name, command in self.commands.items()}

    def joined(self) -> dict[str, Offer]:
        """The verbs of plugins, by their last word."""
        settings().know_plugins()
        return {name: offer for name, offer in offers(self.first).items() if name not in self.own()}

    def whole(self, name: str) -> str:
        """A verb's name as its offer has it."""
        return f"{self.first} {name}".strip()

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self.joined(), *self.own()]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        return load(self.whole(name)) if name in self.joined() else super().get_command(ctx, name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The lines of verbs stand in their offers: `--help` loads none of them."""
        lines = {name: offer.summary for name, offer in self.joined().items()}
        ours = {name: line for name, line in lines.items() if self.whole(name) in COMMANDS}
        with formatter.section("Commands"):
            formatter.write_dl([*ours.items(), *self.own().items()])
        theirs = [item for item in lines.items() if item[0] not in ours]
        if theirs:
            with formatter.section("Commands of plugins"):
                formatter.write_dl(theirs)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        found = self.get_command(ctx, name)
        if found is None and self.whole(name) in COMMANDS:
            raise PluginError(_why_not(self.whole(name)))
        if found is None and not name.startswith("-"):
            known = self.list_commands(ctx)
            seen = f'regiment {ctx.info_name} has no "{name}"' if self.first else f'no command "{name}"'
            meant = MEANT.get(self.whole(name))
            hint = f' Did you mean "{meant}"?' if meant else nearest(name, known)
            raise click.UsageError(f"{seen}.{hint} There are: {', '.join(known)}", ctx)
        return (name, found, args[1:]) if found else super().resolve_command(ctx, args)


class Group(Verbs):
    """A verb with verbs of its own; without one it does its `default`."""

    def __init__(self, *args: Any, default: str = "list", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.default, self.first = default, self.name or ""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = [self.default, *args]
        return super().parse_args(ctx, args)


def _why_not(name: str) -> str:
    """Why one of our verbs is not here: its distribution is missing, or its plugin cannot be used."""
    from regiment.registry import registry

    home, what = COMMANDS[name], f'no command "{name}"'
    for plugin in registry().plugins:
        if plugin.distribution == home and plugin.state != "ok":
            return f"{what}: the plugin {plugin.name} of {plugin.source} is {plugin.state}: {plugin.reason}"
    return f"{what}. It is in {home}: pip install {home}"
