"""`regiment dead`: dead letters, listed, grouped, shown, tried, replayed and deleted."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import click

from regiment.errors import RegimentError
from regiment_cli.options import json_option
from regiment_cli.printing import printable, put, say
from regiment_cli.terminal import show_json
from regiment_cli.text import age, many, table
from regiment_cli.verbs import Group
from regiment_console import groups, letters
from regiment_console.acting import Account, account
from regiment_console.asking import Rate, sure
from regiment_console.groups import Wanted
from regiment_console.store import Store, open_store, store_options

F = TypeVar("F", bound=Callable[..., Any])


@click.group("dead", cls=Group)
def command() -> None:
    """Dead letters: tasks that failed for good, each with its reason (without a verb: list)."""


@command.command("list")
@click.argument("queue", required=False)
@click.option("--group", is_flag=True, help="Count by what killed them: kind, error, task and place in the code.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="Most letters per queue.")
@store_options
@json_option
def list_letters(
    queue: str | None, group: bool, limit: int, app: str | None, connector: str | None, as_json: bool
) -> None:
    """List dead letters of QUEUE, or of all queues, newest first."""
    with open_store(app, connector) as store:
        queues = store.listed(queue)
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


def _grouped(store: Store, queues: list[str], as_json: bool) -> None:
    found = groups.grouped(store.looking, queues)
    if as_json:
        show_json({"store": store.where, "groups": found})
        return
    if not found:
        say("no dead letters")
        return
    head = ("group", "count", "queue", "task", "kind", "error", "newest", "example")
    rows = [
        (
            one["group"],
            one["count"],
            one["queue"],
            one["name"],
            one["kind"],
            _error(one),
            f"{age(time.time() - one['newest'])} ago",
            one["example"],
        )
        for one in found
    ]
    put(table(rows, head, right=["count"]))


@command.command("show")
@click.argument("id")
@click.option("--queue", "-q", help="Look in this queue only.")
@click.option("--reveal", is_flag=True, help="Show also what is masked.")
@click.option("--full", is_flag=True, help="Show the frames of libraries in tracebacks, too.")
@store_options
@json_option
def show(
    id: str, queue: str | None, reveal: bool, full: bool, app: str | None, connector: str | None, as_json: bool
) -> None:
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
        whole = [letters.in_full(name, letter, codec, reveal=reveal) for name, letter in found]
    if as_json:
        whole = [letters.as_json(one) for one in whole]
        show_json(whole[0] if len(whole) == 1 else whole)
        return
    put("\n\n".join(letters.page(one, letters.clock, full=full) for one in whole))


def _choosing(function: F) -> F:
    """Which letters: QUEUE and IDS, and what they have in common."""
    for decorate in (
        click.option("--reason", help="Why; kept with the account of what was done."),
        click.option("--upto", metavar="LETTER", help="Only this letter and older ones: what you saw in the list."),
        click.option("--name", help="Only tasks of this name."),
        click.option("--error", metavar="TYPE", help="Only errors of this type: ValueError, timeout."),
        click.option("--group", metavar="GROUP", help="Only this group of dead list --group."),
        click.argument("words", nargs=-1, required=True, metavar="QUEUE|ID [ID...]"),
    ):
        function = decorate(function)
    return function


@command.command("replay")
@_choosing
@click.option("--dry-run", is_flag=True, help="Only say what would be replayed.")
@click.option("--rate", type=Rate(), help="Most tasks per second, e.g. 100/s.")
@store_options
def replay(
    words: tuple[str, ...],
    group: str | None,
    error: str | None,
    name: str | None,
    upto: str | None,
    reason: str | None,
    dry_run: bool,
    rate: float | None,
    app: str | None,
    connector: str | None,
) -> None:
    """Make dead letters ready again, oldest first, as if newly pushed: all of QUEUE, those with the IDS, or those of a group."""
    wanted = Wanted(group, error, name, upto)
    with open_store(app, connector) as store:
        for queue, ids in groups.places(store, words):
            chosen = groups.choose(store.looking, queue, ids, wanted)
            if dry_run:
                _would(store, queue, chosen, "replay")
            else:
                _replay(store, queue, chosen, rate, reason, _shown(wanted))


def _would(store: Store, queue: str, chosen: letters.Chosen, verb: str) -> None:
    """Say what would be done, and to which."""
    number = sum(len(names) for _, names in chosen)
    say(f'would {verb} {many(number, "dead letter")} of "{queue}"; nothing was changed')
    some = [name for _, names in chosen for name in names][:5]
    for one in (words for id in some for words in store.looking.letters(queue, id) if words.id == id):
        told = letters.in_words(queue, one)
        say(f"  {told['letter']}  {told['name']} {told['id']}  {_error(told)}")
    if number > len(some):
        say(f"  … and {number - len(some):,} older ones")


def _replay(
    store: Store, queue: str, chosen: letters.Chosen, rate: float | None, reason: str | None, fields: dict[str, Any]
) -> None:
    with store.open("push") as writing, account(writing, queue, "replay", reason, **fields) as made:
        made.names = [name for _, names in chosen for name in names]
        done = letters.replay(writing, queue, chosen, store.codec_like, rate, lambda number: _more(made, number))
    say(f'replayed {many(done.revived, "dead letter")} of "{queue}"')
    if done.as_they_were:
        say(
            f"  {done.as_they_were:,} could not be read here and went back as they were; -A MODULE:NAME reads "
            f"what another serializer wrote"
        )
    if done.unexpired:
        say(f"  {done.unexpired:,} had expired; their expiry was taken off")


def _more(made: Account, number: int) -> None:
    made.number += number


def _shown(wanted: Wanted) -> dict[str, Any]:
    return {name: value for name, value in wanted._asdict().items() if value is not None}


@command.command("purge")
@_choosing
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@store_options
def purge(
    words: tuple[str, ...],
    group: str | None,
    error: str | None,
    name: str | None,
    upto: str | None,
    reason: str | None,
    dry_run: bool,
    yes: bool,
    app: str | None,
    connector: str | None,
) -> None:
    """Delete dead letters for good: all of QUEUE, those with the IDS, or those of a group."""
    wanted = Wanted(group, error, name, upto)
    with open_store(app, connector) as store:
        for queue, ids in groups.places(store, words):
            every = not ids and wanted == Wanted()
            chosen = [] if every and not dry_run else groups.choose(store.looking, queue, ids, wanted)
            if dry_run:
                _would(store, queue, chosen, "delete")
                continue
            number = store.looking.counts(queue).dead if every else sum(len(names) for _, names in chosen)
            if not number:
                say(f'no {"" if every else "such "}dead letters in "{queue}"')
                continue
            sure(f'Delete {many(number, "dead letter")} of the queue "{queue}" in {store.where} for good?', yes)
            names = None if every else [name for _, names in chosen for name in names]
            with store.open("push") as writing, account(writing, queue, "drop", reason, **_shown(wanted)) as made:
                made.number = gone = writing.drop(queue, names)
                made.names = names or []
            say(f'deleted {many(gone, "dead letter")} of "{queue}"')


def short(text: str, width: int = 60) -> str:
    """The first line, cut."""
    line = printable(text.strip().splitlines()[0]) if text.strip() else ""
    return line if len(line) <= width else line[: width - 1] + "…"
