"""`regiment audit`: who did what to a queue, when and why."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import click

from regiment.contracts.steer import Steered
from regiment_cli.options import json_option
from regiment_cli.printing import put, say
from regiment_cli.terminal import show_json
from regiment_cli.text import age, table
from regiment_console.acting import read
from regiment_console.steering import steered
from regiment_console.store import open_store, shown_name, store_options

HEAD = ("when", "queue", "what", "tasks", "who", "reason", "more")


@click.command("audit")
@click.argument("queue", required=False)
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="Most acts to show.")
@store_options
@json_option
def command(queue: str | None, limit: int, app: str | None, connector: str | None, as_json: bool) -> None:
    """Show what people did to QUEUE, or to all queues that the store knows now, newest first."""
    with open_store(app, connector) as store:
        looking = steered(store.looking, "regiment audit")
        # A queue that is named may be one that the store has forgotten: its acts are kept for longer.
        queues = [queue] if queue else list(looking.queues())
        found = acts(looking, queues, limit)
    if as_json:
        shown = [{"at": at, "queue": shown_name(name), **entry} for at, name, entry in found]
        show_json({"store": store.where, "acts": shown})
        return
    if not found:
        say("nobody did anything" + ("" if queue else "; a queue in which nothing is left is only found by its name"))
        return
    put(table((row(at, name, dict(entry)) for at, name, entry in found), HEAD, right=("tasks",)))


def acts(looking: Steered, queues: Sequence[str], limit: int) -> list[tuple[float, str, dict[str, Any]]]:
    """When (seconds since the epoch), in which queue and what: the newest acts first, `limit` at most."""
    found = [(act.at, name, read(act.entry)) for name in queues for act in looking.acts(name, limit)]
    return sorted(found, key=lambda act: -act[0])[:limit]


def row(at: float, queue: str, entry: dict[str, Any]) -> tuple[Any, ...]:
    """An act as the cells that `HEAD` names; takes `entry` apart."""
    what, who = entry.pop("what"), entry.pop("who")
    number, reason = entry.pop("number", None), entry.pop("reason", None)
    ids = entry.pop("ids", None)
    more = [f"{ids[0]}{' …' if len(ids) > 1 else ''}"] if isinstance(ids, list) and ids else []
    more += [name if value is True else f"{name}: {value}" for name, value in entry.items()]
    return (
        f"{age(max(0.0, time.time() - at))} ago",
        shown_name(queue),
        what,
        number,
        who,
        reason,
        "; ".join(more) or None,
    )
