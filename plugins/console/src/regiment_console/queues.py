"""`regiment queues`: what waits, runs and died, per queue; and emptying one."""

from __future__ import annotations

import os

import click

from regiment.contracts import Connector, Counts
from regiment.errors import StoreUnavailable
from regiment_cli.options import json_option
from regiment_cli.printing import put, say
from regiment_cli.serving import serving
from regiment_cli.terminal import show_json
from regiment_cli.text import age, many, table
from regiment_cli.verbs import Group
from regiment_console.acting import account
from regiment_console.asking import sure
from regiment_console.store import open_store, shown_name, store_options

NOBODY = (0, 0.0)
"""Zero workers and their rate."""


@click.group("queues", cls=Group)
def command() -> None:
    """What waits, runs and died, per queue (without a verb: list)."""


@command.command("list")
@store_options
@json_option
def list_queues(app: str | None, connector: str | None, as_json: bool) -> None:
    """List the queues: ready, delayed, leased and dead tasks, the age of the oldest ready one, live workers, and
    how many tasks a second they ended of late.
    """
    with open_store(app, connector) as store:
        served = serving(store.looking)
        found, unreadable = _counted(store.looking)
        where, absent = store.where, absent_file(store.looking)
    if as_json:
        queues = [
            {
                "queue": shown_name(name),
                **counts._asdict(),
                "workers": served.get(name, NOBODY)[0],
                "rate": round(served.get(name, NOBODY)[1], 2),
            }
            for name, counts in found.items()
        ]
        queues += [{"queue": shown_name(name), "unreadable": why} for name, why in unreadable.items()]
        show_json({"store": where, "queues": queues})
        return
    for name, why in unreadable.items():
        say(f'the queue "{shown_name(name)}" is unreadable: {why}')
    if not found:
        say("no such file yet: nothing was pushed from here" if absent else "no queues")
        return
    rows = [
        (
            shown_name(name) + (" (paused)" if counts.paused else ""),
            counts.ready,
            counts.delayed,
            counts.leased,
            counts.dead,
            age(counts.oldest),
            *_served(served.get(name)),
        )
        for name, counts in found.items()
    ]
    head = ("queue", "ready", "delayed", "leased", "dead", "oldest", "workers", "rate")
    put(table(rows, head, right=head[1:]))


def absent_file(connector: Connector) -> bool:
    """True if the store is a file that nobody has made yet."""
    path = getattr(connector, "path", None)
    return isinstance(path, str) and not os.path.exists(path)


def _counted(connector: Connector) -> tuple[dict[str, Counts], dict[str, str]]:
    """The counts of each queue, and why some queues have none."""
    found: dict[str, Counts] = {}
    unreadable: dict[str, str] = {}
    for name in connector.queues():
        try:
            found[name] = connector.counts(name)
        except StoreUnavailable:
            raise
        except Exception as error:
            unreadable[name] = f"{type(error).__name__}: {error}"
    return found, unreadable


def _served(found: tuple[int, float] | None) -> tuple[int, str]:
    """Workers and rate, as shown."""
    return (0, "-") if found is None else (found[0], f"{found[1]:,.1f}/s")


@command.command("purge")
@click.argument("queue")
@click.option("--reason", help="Why; kept with the account of what was done.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@store_options
def purge(queue: str, reason: str | None, yes: bool, app: str | None, connector: str | None) -> None:
    """Delete what is ready or delayed in QUEUE. What runs, and dead letters, stay."""
    with open_store(app, connector) as store:
        counts = store.looking.counts(store.known(queue))
        number = counts.ready + counts.delayed
        if not number:
            say(f'nothing is ready or delayed in "{queue}"')
            return
        sure(
            f"Delete {many(number, 'task')} ({counts.ready:,} ready, {counts.delayed:,} delayed) "
            f'of the queue "{queue}" in {store.where}?',
            yes,
        )
        with store.open("push") as writing, account(writing, queue, "purge", reason) as made:
            made.number = gone = writing.purge(queue)
    say(f'deleted {many(gone, "task")} of "{queue}"')
