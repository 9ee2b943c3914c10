"""`regiment tasks`: what waits and runs, task by task, without leasing any; looking changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import click

from regiment.codec import Codec
from regiment.contracts.steer import LOOKED_AT, Seen, Steered
from regiment.errors import DecodeError, RegimentError, nearest
from regiment.task import Task
from regiment_cli.options import json_option
from regiment_cli.printing import put, say
from regiment_cli.terminal import show_json
from regiment_cli.text import table
from regiment_cli.verbs import Group
from regiment_console import letters
from regiment_console.seen import HEAD, decoded, in_full, page, record, row, state_of
from regiment_console.steering import STATES, Found, State, chosen, find, steered, walk
from regiment_console.store import Store, open_store, shown_name, store_options

SHOWN = ("ready", "delayed", "leased", "parked", "retrying")
"""The states that people ask for; the last two are of tasks that wait."""


class Tasks(Group):
    """A group whose `list` may be left out also where a queue is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        known = self.list_commands(ctx)
        if args and not args[0].startswith("-") and args[0] not in known:
            rest = [word for word in args[1:2] if word != "list"] + args[2:]
            if not rest or rest[0].startswith("-"):
                args = ["list", args[0], *rest]
        return super().parse_args(ctx, args)


@click.group("tasks", cls=Tasks)
def command() -> None:
    """Tasks that wait and run, one by one: list, show, find, cancel, run, move (without a verb: list)."""


class Wanted(NamedTuple):
    """Which tasks are asked for."""

    state: str | None
    name: str | None
    where: Sequence[tuple[Sequence[str], str]]
    """Paths into a task, each with the value that is to be there."""

    @property
    def filters(self) -> bool:
        """True if tasks have to be decoded to be chosen."""
        return bool(self.name or self.where or self.state in ("parked", "retrying"))

    def places(self) -> Sequence[State]:
        """Where to look."""
        if self.state in ("parked", "retrying"):
            return ("delayed", "ready")
        return [state for state in STATES if self.state in (None, state)]

    def takes(self, seen: Seen, task: Task | DecodeError) -> bool:
        """True if it is one of them."""
        if self.state in ("parked", "retrying") and state_of(seen, task) != self.state:
            return False
        if self.name is None and not self.where:
            return True
        if not isinstance(task, Task):
            return False
        return self.name in (None, task.name) and all(_holds(task, path, value) for path, value in self.where)


def _holds(task: Task, path: Sequence[str], value: str) -> bool:
    """True if the task has this value there, as JSON or as a text."""
    found: Any = {"args": task.kwargs, "headers": task.headers or {}, "id": task.id, "trace_id": task.trace_id}
    for word in path:
        if isinstance(found, dict) and word in found:
            found = found[word]
        elif isinstance(found, (list, tuple)) and word.isdigit() and int(word) < len(found):
            found = found[int(word)]
        else:
            return False
    if isinstance(found, str):
        return found == value
    try:
        meant = json.loads(value)
    except ValueError:
        return str(found) == value
    return bool(found == meant and isinstance(found, bool) == isinstance(meant, bool))


def _where(_: Any, __: Any, given: tuple[str, ...]) -> list[tuple[list[str], str]]:
    found = []
    for text in given:
        path, equals, value = text.partition("=")
        words = path.split(".")
        if not equals or words[0] not in ("args", "headers", "id", "trace_id"):
            raise click.BadParameter(
                f"{text!r} is no condition; expected args.NAME=VALUE, headers.NAME=VALUE, id=VALUE or trace_id=VALUE"
            )
        found.append((words, value))
    return found


@command.command("list")
@click.argument("queue", required=False)
@click.option("--state", type=click.Choice(SHOWN), help="Only those that are so.  [default: all]")
@click.option("--name", help="Only tasks of this name.")
@click.option(
    "--where", multiple=True, callback=_where, metavar="args.NAME=VALUE", help="Only with this value; repeat."
)
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="Most tasks to show.")
@click.option(
    "--through",
    type=click.IntRange(1),
    default=LOOKED_AT,
    show_default=True,
    help="Most tasks of a queue and state to look through for --name, --where, parked and retrying.",
)
@store_options
@json_option
def list_tasks(
    queue: str | None,
    state: str | None,
    name: str | None,
    where: list[tuple[list[str], str]],
    limit: int,
    through: int,
    app: str | None,
    connector: str | None,
    as_json: bool,
) -> None:
    """List tasks of QUEUE, or of all queues: those on lease, then those that are ready and delayed, in the order in which
    they will run.
    """
    wanted = Wanted(state, name, where)
    with open_store(app, connector) as store:
        looking = steered(store.looking, "regiment tasks")
        queues = _queues(store, queue)
        found, cut = listed(looking, queues, store.codec(), wanted, limit, through)
        more = 0 if wanted.filters else _number(looking, queues, wanted) - len(found)
    if as_json:
        show_json({"store": store.where, "tasks": found, "looked_through": not cut})
        return
    if found:
        put(table(map(row, found), HEAD, right=("since", "due", "runs")))
    else:
        say("no tasks" if not wanted.filters and state is None else "no such tasks")
    for line in cut:
        say(line)
    if more > 0 and found:
        say(f"{more:,} more: --limit N")


def _queues(store: Store, queue: str | None) -> list[str]:
    verb = nearest(str(queue), list(command.commands)).replace('"', '"regiment tasks ', 1)
    try:
        return chosen(store, queue) if verb else store.listed(queue)
    except RegimentError as error:
        raise RegimentError(f"{error}.{verb}") from None


def listed(
    looking: Steered, queues: Sequence[str], codec: Codec, wanted: Wanted, limit: int, through: int
) -> tuple[list[dict[str, Any]], list[str]]:
    """The records of those that are wanted, and a line for each place that was not looked through."""
    found: list[dict[str, Any]] = []
    cut: list[str] = []
    for queue in queues:
        for state in wanted.places():
            for number, seen in enumerate(walk(looking, queue, state)):
                if len(found) >= limit:
                    break
                if number >= through and wanted.filters:
                    whole = getattr(looking.counts(queue), state)
                    cut.append(
                        f'looked at the first {through:,} of {whole:,} {state} in "{shown_name(queue)}": --through N'
                    )
                    break
                task = decoded(seen, queue, codec)
                if wanted.takes(seen, task):
                    found.append(record(queue, seen, task))
    return found, cut


def _number(looking: Steered, queues: Sequence[str], wanted: Wanted) -> int:
    counts = looking.counts_many(queues)
    return sum(getattr(one, state) for one in counts for state in wanted.places())


@command.command("show")
@click.argument("id")
@click.option("--queue", "-q", help="Look in this queue only.")
@click.option("--reveal", is_flag=True, help="Show also what is masked.")
@store_options
@json_option
def show(id: str, queue: str | None, reveal: bool, app: str | None, connector: str | None, as_json: bool) -> None:
    """Show everything that is known of a task that waits, runs or is a dead letter."""
    with open_store(app, connector) as store:
        looking = steered(store.looking, "regiment tasks show")
        queues, codec = chosen(store, queue), store.codec()
        found = find(looking, queues, [id])
        full = [in_full(one.queue, one.seen, decoded(one.seen, one.queue, codec), reveal=reveal) for one in found]
        dead = [
            letters.in_full(name, letter, codec, reveal=reveal) for name, letter in letters.find(looking, queues, id)
        ]
        if not full and not dead:
            raise RegimentError(nowhere(id, store.where, queues))
    if as_json:
        both = [*full, *map(letters.as_json, dead)]
        show_json(both[0] if len(both) == 1 else both)
        return
    put("\n\n".join([*map(page, full), *(letters.page(one, letters.clock) for one in dead)]))
    if full:
        say(f"  when it runs: regiment why {id}")


def nowhere(id: str, where: str, queues: Sequence[str]) -> str:
    """That nothing is known of a task, and what that may mean."""
    names = ", ".join(map(shown_name, queues)) or "no queues"
    return (
        f'no task "{id}" waits or runs in {where} ({names}), and no dead letter has this id: it was never pushed there, or has '
        "ended, for what is done is forgotten unless its queue keeps results"
    )


@command.command("find")
@click.argument("text")
@click.option("--queue", "-q", help="Look in this queue only.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="Most tasks to show.")
@store_options
@json_option
def find_text(text: str, queue: str | None, limit: int, app: str | None, connector: str | None, as_json: bool) -> None:
    """Find TEXT in the ids, names and arguments of all that waits and runs, and in the ids, names and errors of dead letters.

    It is looked for in the bytes of a message: arguments that were compressed are not seen.
    """
    with open_store(app, connector) as store:
        looking = steered(store.looking, "regiment tasks find")
        queues, codec = chosen(store, queue), store.codec()
        found: list[dict[str, Any]] = []
        for one in _holding(looking, queues, text):
            if len(found) >= limit:
                break
            found.append(record(one.queue, one.seen, decoded(one.seen, one.queue, codec)))
        dead = [one for name in queues for one in _letters(looking, name, text, limit - len(found))]
    if as_json:
        show_json({"store": store.where, "tasks": found, "letters": dead})
        return
    cells = [row(one) for one in found]
    cells += [(one["id"], one["queue"], one["name"], f"dead: letter {one['letter']}", *[None] * 5) for one in dead]
    if not cells:
        say(f'"{text}" stands in no task and in no dead letter of {store.where}')
        raise SystemExit(1)
    put(table(cells, HEAD, right=("since", "due", "runs")))
    if len(cells) >= limit:
        say("there may be more: --limit N")


def _holding(looking: Steered, queues: Sequence[str], text: str) -> Iterator[Found]:
    for queue in queues:
        for state in STATES:
            for seen in walk(looking, queue, state, text.encode()):
                yield Found(queue, seen)


def _letters(looking: Steered, queue: str, text: str, limit: int) -> Iterator[dict[str, Any]]:
    """The dead letters of a queue in whose id, name or error a text stands, newest first."""
    matches: Callable[[dict[str, Any]], bool] = lambda one: any(  # noqa: E731
        text in str(one.get(field) or "") for field in ("id", "letter", "name", "error_type", "error")
    )
    number = 0
    for _, found in letters.pages(looking, queue):
        for one in (letters.in_words(queue, letter) for letter in found):
            if number >= limit:
                return
            if matches(one):
                number += 1
                yield one
