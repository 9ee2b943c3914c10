"""`regiment dead`: dead letters, listed, grouped, shown, replayed and deleted."""

from __future__ import annotations

import time
from typing import Any

import click

from regiment.errors import RegimentError
from regiment.printing import printable, put, say
from regiment_cli.options import json_option
from regiment_cli.terminal import show_json
from regiment_cli.text import age, many, table
from regiment_cli.verbs import Group
from regiment_console import letters
from regiment_console.asking import Rate, sure
from regiment_console.store import open_store, store_options


@click.group("dead", cls=Group)
def command() -> None:
    """Dead letters: tasks that failed for good, each with its reason (without a verb: list)."""


@command.command("list")
@click.argument("queue", required=False)
@click.option("--group", is_flag=True, help="Count by kind, error and task name.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="Most letters per queue.")
@store_options
@json_option
def list_letters(
    queue: str | None, group: bool, limit: int, app: str | None, connector: str | None, as_json: bool
) -> None:
    """List dead letters of QUEUE, or of all queues, newest first."""
    with open_store(app, connector) as store:
        queues = [store.known(queue)] if queue else list(store.looking.queues())
        if group:
            _grouped(store, queues, as_json)
            return
        found, total = letters.listed(store.looking, queues, limit)
    if as_json:
        show_json({"store": store.where, "total": total, "letters": found})
        return
    if not found:
        say("no dead letters")
        return
    now = time.time()
    head = ("letter", "queue", "task", "id", "died", "kind", "error")
    rows = [
        (one["letter"], one["queue"], one["name"], one["id"], f"{age(now - one['at'])} ago", one["kind"], _error(one))
        for one in found
    ]
    put(table(rows, head))
    if total > len(found):
        say(f"{total - len(found):,} more: --limit N, or --group")


def _error(one: dict[str, Any]) -> str:
    return short(": ".join(map(str, filter(None, (one.get("error_type"), one.get("error"))))))


def _grouped(store: Any, queues: list[str], as_json: bool) -> None:
    groups = letters.grouped(store.looking, queues)
    if as_json:
        show_json({"store": store.where, "groups": groups})
        return
    if not groups:
        say("no dead letters")
        return
    head = ("count", "queue", "task", "kind", "error", "newest", "example")
    rows = [
        (
            one["count"],
            one["queue"],
            one["name"],
            one["kind"],
            _error(one),
            f"{age(time.time() - one['newest'])} ago",
            one["example"],
        )
        for one in groups
    ]
    put(table(rows, head, right=["count"]))


@command.command("show")
@click.argument("id")
@click.option("--queue", "-q", help="Look in this queue only.")
@store_options
@json_option
def show(id: str, queue: str | None, app: str | None, connector: str | None, as_json: bool) -> None:
    """Show everything that is kept of a dead letter; ID is its own or its task's."""
    with open_store(app, connector) as store:
        queues = [store.known(queue)] if queue else list(store.looking.queues())
        found = letters.find(store.looking, queues, id)
        if not found:
            raise RegimentError(
                f'no dead letter "{id}" in {store.where} ({", ".join(queues) or "no queues"}); '
                f"regiment dead list shows what there is"
            )
        codec = store.codec()
        full = [letters.in_full(name, letter, codec) for name, letter in found]
    if as_json:
        full = [letters.as_json(one) for one in full]
        show_json(full[0] if len(full) == 1 else full)
        return
    put("\n\n".join(letters.page(one, clock) for one in full))


@command.command("replay")
@click.argument("queue")
@click.argument("ids", nargs=-1)
@click.option("--dry-run", is_flag=True, help="Only say what would be replayed.")
@click.option("--rate", type=Rate(), help="Most tasks per second, e.g. 100/s.")
@store_options
def replay(
    queue: str, ids: tuple[str, ...], dry_run: bool, rate: float | None, app: str | None, connector: str | None
) -> None:
    """Make the dead letters of QUEUE ready again, all or those with the IDS, oldest first, as if newly pushed."""
    with open_store(app, connector) as store:
        chosen = letters.choose(store.looking, store.known(queue), ids)
        number = sum(len(names) for _, names in chosen)
        if dry_run:
            say(f'would replay {many(number, "dead letter")} of "{queue}"; nothing was changed')
            return
        with store.open("push") as writing:
            done = letters.replay(writing, queue, chosen, store.codec_like, rate)
    say(f'replayed {many(done.revived, "dead letter")} of "{queue}"')
    if done.as_they_were:
        say(
            f"  {done.as_they_were:,} could not be read here and went back as they were; -A MODULE:NAME reads "
            f"what another serializer wrote"
        )
    if done.unexpired:
        say(f"  {done.unexpired:,} had expired; their expiry was taken off")


@command.command("purge")
@click.argument("queue")
@click.argument("ids", nargs=-1)
@click.option("--yes", is_flag=True, help="Do not ask.")
@store_options
def purge(queue: str, ids: tuple[str, ...], yes: bool, app: str | None, connector: str | None) -> None:
    """Delete the dead letters of QUEUE, all or those with the IDS, for good."""
    with open_store(app, connector) as store:
        chosen = letters.choose(store.looking, store.known(queue), ids) if ids else []
        number = sum(len(names) for _, names in chosen) if ids else store.looking.counts(queue).dead
        if not number:
            say(f'no dead letters in "{queue}"')
            return
        sure(
            f'Delete {many(number, "dead letter")} of the queue "{queue}" in {store.where} for good?',
            yes,
        )
        wanted = [name for _, names in chosen for name in names] if ids else None
        with store.open("push") as writing:
            gone = writing.drop(queue, wanted)
    say(f'deleted {many(gone, "dead letter")} of "{queue}"')


def clock(at: float) -> str:
    """A time of the wall clock, local, to the second."""
    from datetime import datetime

    return datetime.fromtimestamp(at).astimezone().isoformat(" ", "seconds")


def short(text: str, width: int = 60) -> str:
    """The first line, cut."""
    line = printable(text.strip().splitlines()[0]) if text.strip() else ""
    return line if len(line) <= width else line[: width - 1] + "…"
