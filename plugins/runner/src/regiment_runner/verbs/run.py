"""`regiment run`: a supervisor and its workers, or one worker in the foreground."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from regiment_cli.terminal import Duration, ParamType
from regiment_runner.supervisor.memory import parse_size
from regiment_runner.verbs.beside import SERVERS, with_addresses
from regiment_runner.verbs.running import STOP_TIMEOUT, Given, Misused, run


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


class Run(click.Command):
    """The verb, whose `--metrics` and `--dashboard` may go without an address."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the defaults in."""
        return super().parse_args(ctx, with_addresses(args))


def _server(name: str, what: str) -> Callable[[Any], Any]:
    """The two options of a server."""
    where = click.option(f"--{name}", metavar="[HOST:PORT]", help=f"{what}.  [alone: {SERVERS[name]}]")
    token = click.option(
        f"--{name}-token", metavar="FILE", help=f"Its secret is needed there; other hosts reach --{name} with one only."
    )
    return lambda function: where(token(function))


def _foreign(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    """What others call `--workers`."""
    if value is not None:
        raise click.UsageError(f"-c and --concurrency are other tools' words; here it is --workers {value}", ctx)


@click.command("run", cls=Run)
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
@click.option("-c", "--concurrency", "foreign", hidden=True, expose_value=False, callback=_foreign)
@click.option("--solo", is_flag=True, help="One worker in the foreground: no limits, no respawn, stdin kept.")
@_server("metrics", "Serve metrics of this tree and its store to Prometheus")
@_server("dashboard", "Serve the dashboard of its store")
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
    **servers: str | None,
) -> int:
    """Supervise workers of each TARGET until told to stop.

    TARGET is MODULE (every worker defined there) or MODULE:NAME; =4 gives it four workers, =1..8 a range.
    Ctrl-C or SIGTERM: finish what runs, give back the rest, exit 0.
    """
    given = Given(targets, workers, burst, stop_timeout, max_memory, preload, reload, heartbeat, solo, **servers)
    try:
        return run(given)
    except Misused as error:
        raise click.UsageError(str(error), click.get_current_context() if error.help else None) from None
