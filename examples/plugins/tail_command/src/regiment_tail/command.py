"""`regiment tail QUEUE`: the last dead letters of a queue, oldest first, and with --follow those that come."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import click

from regiment.config import as_use
from regiment.contracts import Connector, Letter
from regiment.errors import StoreUnavailable
from regiment.registry import registry

PAGE = 100


@click.command("tail")
@click.argument("queue")
@click.option(
    "--store",
    required=True,
    envvar="REGIMENT_CONNECTOR",
    metavar="URL",
    help="Where the tasks live.",
)
@click.option("-n", "--lines", default=10, show_default=True, type=click.IntRange(0), help="How many letters.")
@click.option("-f", "--follow", is_flag=True, help="Go on until Ctrl-C.")
@click.option(
    "--every",
    default=1.0,
    show_default=True,
    type=click.FloatRange(0.01),
    help="Seconds between two looks.",
)
def command(queue: str, store: str, lines: int, follow: bool, every: float) -> None:
    """The last dead letters of a queue, one line of JSON each; --follow goes on with those that come."""
    connector = registry().build("connectors", as_use(store))
    connector.open("look")
    try:
        newest = connector.dead(queue, max(lines, 1))
        for letter in reversed(newest[:lines]):
            click.echo(line(letter))
        last = newest[0] if newest else None
        while follow:
            time.sleep(every)
            try:
                fresh = list(since(connector, queue, last))
            except StoreUnavailable as error:
                click.echo(f"{error}; looking again", err=True)
                continue
            for letter in reversed(fresh):
                click.echo(line(letter))
                last = letter
    except KeyboardInterrupt:
        pass
    finally:
        connector.close()


def since(connector: Connector, queue: str, last: Letter | None) -> Iterator[Letter]:
    """Letters that came after this one, newest first; it may be gone by now, revived or dropped."""
    after: str | None = None
    while page := connector.dead(queue, PAGE, after=after):
        for letter in page:
            if last is not None and (letter.id == last.id or letter.at < last.at):
                return
            yield letter
        after = page[-1].id


def line(letter: Letter) -> str:
    """A letter as JSON: when it died (seconds since the epoch), what it was, why."""
    reason = json.loads(letter.reason)
    said = {key: reason[key] for key in ("kind", "name", "error") if key in reason}
    return json.dumps(
        {"at": round(letter.at, 3), "id": letter.id, "task": letter.task_id, **said},
        ensure_ascii=False,
    )
