"""`regiment run`: a supervisor and its workers, or one worker in the foreground."""

from __future__ import annotations

import logging
import sys
from typing import Any

import click

from regiment import log
from regiment_cli.printing import say
from regiment_cli.terminal import Duration, ParamType
from regiment_cli.text import many
from regiment_runner.shared import logs
from regiment_runner.supervisor.memory import parse_size
from regiment_runner.supervisor.numbers import named_twice, parse, parse_range

STOP_TIMEOUT = 25.0
"""Seconds that running tasks may go on after a stop signal, if nobody says otherwise."""


class Size(ParamType):
    """Bytes, as `memory.parse_size` reads them."""

    name = "size"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        if isinstance(value, int):
            return value
        try:
            return parse_size(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command("run")
@click.argument("targets", nargs=-1, required=True, metavar="TARGET[=N|=A..B]...")
@click.option("--workers", metavar="N|A..B", help="Workers of each target without its own number.  [default: 1]")
@click.option(
    "--burst", is_flag=True, help="End when nothing is ready, leased or delayed; exit 1 if it made a dead letter."
)
@click.option(
    "--stop-timeout",
    type=Duration(),
    default=f"{STOP_TIMEOUT:g}s",
    show_default=True,
    help="How long running tasks may go on after a stop signal.",
)
@click.option(
    "--max-memory",
    type=Size(),
    metavar="SIZE",
    help="Replace a worker above it after its task, kill one above 1.5 times it. Resident memory: 512MiB, 1.5GB.",
)
@click.option("--preload", is_flag=True, help="Import the application before the workers are forked.")
@click.option("--reload", is_flag=True, help="Restart workers when a Python file of the application changes.")
@click.option("--heartbeat", metavar="PATH", help="Write a file every second, for regiment health.")
@click.option("--solo", is_flag=True, help="One worker in the foreground: no limits, no respawn, stdin kept.")
def command(
    targets: tuple[str, ...],
    workers: str | None,
    burst: bool,
    stop_timeout: float,
    max_memory: int | None,
    preload: bool,
    reload: bool,
    heartbeat: str | None,
    solo: bool,
) -> int:
    """Supervise workers of each TARGET until told to stop.

    TARGET is MODULE (every worker defined there) or MODULE:NAME; =4 gives it four workers, =1..8 a range.
    Ctrl-C or SIGTERM: finish what runs, give back the rest, exit 0.
    """
    from regiment_cli.options import settings

    said = settings()
    said.reach_application()
    number = (1, 1)
    try:
        if workers is not None:
            number = parse_range(workers)
        wanted = [parse(target, number) for target in targets]
    except ValueError as error:
        raise click.UsageError(str(error), click.get_current_context()) from None
    twice = named_twice(wanted)
    if twice:
        raise click.UsageError(twice)
    style = said.log_format
    if style == "auto":
        style = "console" if sys.stderr.isatty() else "json"
    logs.configure(style, said.log_level.upper())
    if style == "console":
        log.logger.addFilter(_announce)
    if solo:
        _look_at_plugins()
        others = {"--max-memory": max_memory, "--preload": preload, "--reload": reload, "--heartbeat": heartbeat}
        _no_supervisor([option for option, value in others.items() if value])
        return _solo(targets, workers, burst, said.app_dir)
    _look_at_plugins()  # before the fork: supervisor, keeper and workers all need it, and none has to look again
    from regiment_runner.supervisor import Supervisor

    return Supervisor(
        targets,
        workers=number,
        burst=burst,
        stop_timeout=stop_timeout,
        app_dir=said.app_dir,
        max_memory=max_memory,
        preload=preload,
        reload=reload,
        heartbeat=heartbeat,
    ).run()


def _look_at_plugins() -> None:
    """Load the plugins; `PluginError` for one that was named and cannot be used, a warning for all that were merely found."""
    from regiment.registry import registry

    registry().refuse()
    unused = [plugin for plugin in registry().plugins if plugin.state not in ("ok", "blocked")]
    if unused:
        lines = "; ".join(f"{plugin.name} of {plugin.source} is {plugin.state}: {plugin.reason}" for plugin in unused)
        log.event(logging.WARNING, "plugin.unusable", reason=lines, next="see regiment plugins")


def _no_supervisor(options: list[str]) -> None:
    if options:
        raise click.UsageError(f"{options[0]} is a supervisor's, and --solo has none: leave one of them out")


def _solo(targets: tuple[str, ...], workers: str | None, burst: bool, app_dir: str) -> int:
    if len(targets) > 1 or "=" in targets[0] or workers is not None:
        raise click.UsageError("--solo runs one worker of one target; expected TARGET without a number")
    from regiment_runner.supervisor.solo import Solo

    return Solo(targets[0], burst=burst, app_dir=app_dir).run()


def _announce(record: logging.LogRecord) -> bool:
    """Show `supervisor.started` to people as lines, without the log's formatter, which would cost a start its time."""
    fields: dict[str, Any] = getattr(record, "regiment", {})
    if record.msg != "supervisor.started" or "target" not in fields:
        return True
    say(announcement(fields))
    return False


def announcement(fields: dict[str, Any]) -> str:
    """What is started, what it uses, which plugins are loaded."""
    kinds = ("connector", "serializer", "compressor", "executor", "killer")
    uses = [f"{kind} {fields[kind]}" for kind in kinds if kind != "connector" and kind in fields]
    return "\n".join(
        [
            f"regiment {fields['regiment']}: {many(fields['workers'], 'worker')} of {fields['target']}, "
            f'queue "{fields["queue"]}" (pid {fields["pid"]}; Ctrl-C ends it)',
            f"  store    {fields['connector']}",
            f"  uses     {', '.join(uses)}",
            f"  plugins  {', '.join(fields['plugins']) or 'none'}",
        ]
    )
