"""The command line: global options, verbs that load when they are used, and errors as exit codes.

Only click is imported here; everything a verb needs is imported by its own module, so that no verb pays for another.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, NoReturn

import click

from regiment import exits
from regiment.cli.options import global_options, settings
from regiment.errors import RegimentError, nearest
from regiment.printing import put, say

VERBS = {
    "run": "Supervise workers until told to stop.",
    "push": "Queue one task, or JSON lines from stdin.",
    "queues": "What waits, runs and died, per queue.",
    "dead": "Dead letters: list, show, replay, purge.",
    "workers": "What every worker of this user does now.",
    "top": "The same, live.",
    "health": "For probes: whether the supervisor lives and is not stuck.",
    "config": "Every setting of a worker and where it came from.",
    "check": "All problems of targets at once; nothing is run.",
    "plugins": "What is installed, what it offers, and its state.",
    "demo": "Real work, start to end, with a summary.",
    "completion": "Print the completion script of a shell.",
}
"""Verb -> its line in `--help`; each lives in `regiment.cli.<verb>` as `command`."""


class Verbs(click.Group):
    """The verbs of regiment, each loaded when it is used, then the commands of plugins."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        settings().apply()
        return [*VERBS, *_plugin_commands()]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name in VERBS:
            return _adopt(import_module(f"regiment.cli.{name}").command)
        settings().apply()
        return _plugin_command(name) if name in _plugin_commands() else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        found = self.get_command(ctx, name)
        if found is None and not name.startswith("-"):
            known = self.list_commands(ctx)
            raise click.UsageError(f'no command "{name}".{nearest(name, known)} There are: {", ".join(known)}', ctx)
        return (name, found, args[1:]) if found else super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The lines of our own verbs stand in `VERBS`: `--help` loads none of them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))
        settings().apply()
        theirs = _plugin_commands()
        if theirs:
            with formatter.section("Commands of plugins"):
                formatter.write_dl([(name, offer.summary or "") for name, offer in theirs.items()])


@functools.cache
def _plugin_commands() -> dict[str, Any]:
    """name -> Offer of what plugins add; a plugin that is broken adds nothing."""
    from regiment.registry import registry

    reg = registry()
    return {
        name: plugin.offers["commands"][name]
        for name in reg.names("commands")
        for plugin in reg.plugins
        if plugin.state == "ok" and name in plugin.offers.get("commands", {}) and name not in VERBS
    }


def _plugin_command(name: str) -> click.Command:
    from regiment.config import Use
    from regiment.errors import PluginError
    from regiment.registry import registry

    _, found = registry().resolve("commands", Use(name))
    made: Any = found
    if not isinstance(made, click.Command):
        raise PluginError(f'the command "{name}" of a plugin is {made!r}; expected a click command')
    return _adopt(made)


def _adopt(command: click.Command) -> click.Command:
    """Let a command take the global options after its own name, and obey them before it runs."""
    if getattr(command, "_regiment", False):
        return command
    command._regiment = True  # type: ignore[attr-defined]
    if isinstance(command, click.Group):
        for sub in command.commands.values():
            _adopt(sub)
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


def _version(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked and not ctx.resilient_parsing:
        from regiment import __version__

        put(f"regiment {__version__} (Python {sys.version.split()[0]})")
        ctx.exit()


cli = Verbs(
    "regiment",
    help="Distributed workers: tasks that are never lost, workers that never hang, every part a plugin.",
    params=[
        *global_options(hidden=False),
        click.Option(
            ["--version"],
            is_flag=True,
            callback=_version,
            expose_value=False,
            is_eager=True,
            help="Show the version and exit.",
        ),
    ],
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    no_args_is_help=True,
)


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit with its code; see `regiment.exits`."""
    code = exits.BAD
    try:
        answer = cli.main(args=args, prog_name="regiment", standalone_mode=False)
        code = answer if isinstance(answer, int) else exits.OK
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as help_shown:
        say(help_shown.ctx.get_help() if help_shown.ctx else "")
        code = exits.USAGE
    except click.ClickException as error:
        code = _usage(error)
    except click.Abort:
        say("aborted; nothing was changed")
    except RegimentError as error:
        _trace()
        say(f"error: {error}")
        code = error.exit_code
    except BrokenPipeError:  # whoever read our output has gone (`| head`): that is no failure
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        code = exits.OK
    except Exception as error:
        _trace()
        hint = "" if settings().debug else "\n  --debug shows the traceback"
        say(f"error: {type(error).__name__}: {error}{hint}")
    sys.exit(code)


def _trace() -> None:
    if settings().debug:
        import traceback

        traceback.print_exc()


def _usage(error: click.ClickException) -> int:
    """One wrong line, said in one line: what was seen, what was meant perhaps, where the help is."""
    ctx = getattr(error, "ctx", None)
    text = error.format_message()
    text = text[:1].lower() + text[1:] if text.startswith(("No ", "Invalid ", "Missing ")) else text
    say(f"error: {text}")
    if ctx is not None and isinstance(error, click.UsageError):
        say(f"  try: {ctx.command_path} --help")
    return error.exit_code
