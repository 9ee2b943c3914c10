"""`garrison run`: a supervisor and its workers, or one worker in the foreground."""

from __future__ import annotations

import logging
import sys
from typing import Any

import click

from garrison import log
from garrison.commands.words import Duration, many, say
from garrison.supervisor.targets import parse, parse_range


@click.command("run")
@click.argument("targets", nargs=-1, required=True, metavar="TARGET[=N|=A..B]...")
@click.option("--workers", metavar="N|A..B", help="Workers of each target without its own number.  [default: 1]")  # fmt: skip
@click.option("--burst", is_flag=True, help="End when nothing is ready, leased or delayed; exit 1 if it made a dead letter.")  # fmt: skip
@click.option("--stop-timeout", type=Duration(), default="25s", show_default=True,
              help="How long running tasks may go on after a stop signal.")  # fmt: skip
@click.option("--solo", is_flag=True, help="One worker in the foreground: no limits, no respawn, stdin kept.")  # fmt: skip
def command(
    targets: tuple[str, ...], workers: str | None, burst: bool, stop_timeout: float, solo: bool
) -> int:
    """Supervise workers of each TARGET until told to stop.

    TARGET is MODULE (every worker defined there) or MODULE:NAME; =4 gives it four workers, =1..8 a range.
    Ctrl-C or SIGTERM: finish what runs, give back the rest, exit 0.
    """
    from garrison.cli import settings

    said = settings()
    number = (1, 1)
    try:
        if workers is not None:
            number = parse_range(workers)
        wanted = [parse(target, number) for target in targets]
    except ValueError as error:
        raise click.UsageError(str(error), click.get_current_context()) from None
    twice = sorted({one.text for one in wanted if [w.text for w in wanted].count(one.text) > 1})
    if twice:
        raise click.UsageError(f'the target "{twice[0]}" is named twice; give it a number: {twice[0]}=2')  # fmt: skip
    style = said.log_format
    if style == "auto":
        style = "console" if sys.stderr.isatty() else "json"
    log.configure(style, said.log_level.upper())
    if style == "console":
        log.logger.addFilter(_announce)
    if solo:
        return _solo(targets, workers, burst, said.app_dir)
    from garrison.registry import registry
    from garrison.supervisor import Supervisor

    registry()  # before the fork: supervisor, keeper and workers all need it, and none has to look again
    return Supervisor(
        targets, workers=number, burst=burst, stop_timeout=stop_timeout, app_dir=said.app_dir
    ).run()


def _solo(targets: tuple[str, ...], workers: str | None, burst: bool, app_dir: str) -> int:
    if len(targets) > 1 or "=" in targets[0] or workers is not None:
        raise click.UsageError("--solo runs one worker of one target; expected TARGET without a number")  # fmt: skip
    from garrison.supervisor.solo import Solo

    return Solo(targets[0], burst=burst, app_dir=app_dir).run()


def _announce(record: logging.LogRecord) -> bool:
    """Show `supervisor.started` to people as lines, without the log's formatter, which would cost a start its time."""
    fields: dict[str, Any] = getattr(record, "garrison", {})
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
            f"garrison {fields['garrison']}: {many(fields['workers'], 'worker')} of {fields['target']}, "
            f'queue "{fields["queue"]}" (pid {fields["pid"]}; Ctrl-C ends it)',
            f"  store    {fields['connector']}",
            f"  uses     {', '.join(uses)}",
            f"  plugins  {', '.join(fields['plugins']) or 'none'}",
        ]
    )
