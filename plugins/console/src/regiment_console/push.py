"""`regiment push`: queue one task, or one for each line of JSON on stdin."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from inspect import Parameter, signature
from itertools import islice
from typing import Any, NoReturn

import click

from regiment.errors import RegimentError
from regiment_cli.options import settings
from regiment_cli.printing import say
from regiment_cli.terminal import Duration, show_json
from regiment_cli.text import many
from regiment_console.asking import Moment

BULK = 1000
"""Lines of stdin that are read, checked and pushed at a time."""


@click.command("push")
@click.argument("task", metavar="MODULE:NAME")
@click.argument("arguments", nargs=-1, metavar="key=text key:=json")
@click.option(
    "--kwargs", metavar="JSON|-", help="All arguments as one JSON object; -: one object per line of stdin, a task each."
)
@click.option("--delay", type=Duration(), help="Due in 30s, 5m, 2h.")
@click.option("--at", type=Moment(), help="Due at 2030-01-31T08:00:00Z, or at seconds since 1970.")
@click.option("--expires", type=Duration(), help="Not run any more after this time.")
@click.option("--priority", type=click.Choice(["HIGH", "NORMAL", "LOW"], case_sensitive=False))
@click.option("--id", "id", help="A task id of your own; pushed twice, it is queued once.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def command(task: str, arguments: tuple[str, ...], kwargs: str | None, as_json: bool, **options: Any) -> None:
    """Queue one task: a function of a Queue, or a Worker class; a module that has one task means that.

    Arguments without a key are strings, in the order of the function's parameters. key=text gives a string, key:=json anything else: regiment push shop:resize path=a.png width:=300
    """
    given = {name: value for name, value in options.items() if value is not None}
    if "priority" in given:
        given["priority"] = given["priority"].upper()
    if kwargs is not None and arguments:
        raise click.UsageError("arguments were given twice: as --kwargs and as key=value")
    if kwargs == "-" and "id" in given:
        raise click.UsageError("--id names one task; --kwargs - makes many")
    # Checked before the application is imported: a typing error is answered at once.
    texts = [one for one in arguments if "=" not in one]
    named = tuple(one for one in arguments if "=" in one)
    values = None if kwargs == "-" else parse_object(kwargs) if kwargs is not None else parse(named)
    from regiment_console.tasks import find_task

    settings().reach_application()
    found = find_task(task)
    _refuse_own_memory(found)
    how = found.options(**given)
    if values is None:
        _many(task, found, how, as_json)
        return
    pushed = how.push(**placed(found, texts, values))
    where, workers, paused, names = _surroundings(found, pushed.queue)
    if as_json:
        show_json({**pushed._asdict(), "store": where, "workers": workers, "paused": paused})
    elif pushed.existed:
        say(f'{task} {pushed.id} was queued before on "{pushed.queue}" ({where}); nothing was added')
    else:
        say(f'queued {task} {pushed.id} on "{pushed.queue}" ({where}); {_alive(pushed.queue, workers, paused)}')
        name = getattr(found, "name", None)
        if names is not None and isinstance(name, str) and name not in names:
            say(
                f"  but no worker of it knows the task {name!r}: it is parked until one does. Deploy it, or start them anew"
            )
        say(f"  where it is: regiment tasks show {pushed.id}; why it waits: regiment why {pushed.id}")


def _refuse_own_memory(found: Any) -> None:
    """A store that lives in one process ends with this one, and the task with it."""
    outlet = found.queue.outlet if hasattr(found, "queue") else found.outlet
    made = outlet.broker().make()
    if not made.capabilities.shared:
        raise click.UsageError(
            f"{made.describe()} lives in one process, and this one ends at once: nothing was queued. "
            "Push to a store that several share, or from the program that runs the task"
        )


def _many(task: str, found: Any, how: Any, as_json: bool) -> None:
    lines, total = _lines(), 0
    try:
        while chunk := list(islice(lines, BULK)):
            total += how.push_many(chunk)
    except (RegimentError, click.UsageError) as error:
        rest = f"{many(total, 'task')} of the lines before were queued"
        if isinstance(error, click.UsageError):
            raise click.UsageError(f"{error.message}; {rest}") from None
        say(rest)
        raise
    queue = found.queue.name if hasattr(found, "queue") else found.configuration().name
    where, workers, paused, _ = _surroundings(found, queue)
    if as_json:
        show_json({"tasks": total, "queue": queue, "store": where, "workers": workers, "paused": paused})
    else:
        say(f'queued {many(total, "task")} {task} on "{queue}" ({where}); {_alive(queue, workers, paused)}')


def _lines() -> Iterator[dict[str, Any]]:
    for number, line in enumerate(sys.stdin, 1):
        if line.strip():
            yield parse_object(line, f"line {number} of stdin")


def placed(found: Any, texts: Sequence[str], named: dict[str, Any]) -> dict[str, Any]:
    """Arguments by name: `texts` are the first parameters that are not named, in their order."""
    if not texts:
        return named
    function = getattr(found, "function", None)
    kinds = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    known = [one.name for one in signature(function).parameters.values() if one.kind in kinds] if function else []
    names = [name for name in known if name not in named]
    if len(texts) > len(names):
        raise click.UsageError(
            f"{texts[len(names)]!r} is one argument too many; expected key=text or key:=json"
            + (f", and at most {many(len(known), 'argument')} by position: {', '.join(known)}" if known else "")
        )
    return {**dict(zip(names, texts, strict=False)), **named}


def parse(arguments: tuple[str, ...]) -> dict[str, Any]:
    """`key=text` and `key:=json` as a mapping."""
    found: dict[str, Any] = {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        typed = key.endswith(":")
        key = key.removesuffix(":")
        if not equals or not key.isidentifier():
            raise click.UsageError(f"{argument!r} is no argument; expected key=text or key:=json")
        if key in found:
            raise click.UsageError(f'the argument "{key}" was given twice')
        found[key] = _json(value, f"{key}:=") if typed else value
    return found


def parse_object(text: str, what: str = "--kwargs") -> dict[str, Any]:
    """A JSON object."""
    value = _json(text, what)
    if not isinstance(value, dict):
        raise click.UsageError(f'{what} is {text.strip()[:60]!r}; expected a JSON object such as {{"name": "Ada"}}')
    return value


def _json(text: str, what: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_number)
    except ValueError as error:
        raise click.UsageError(f"{what} is {text.strip()[:60]!r}, which is no JSON: {error}") from None


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON")


def _surroundings(found: Any, queue: str) -> tuple[str, int | None, bool | None, frozenset[str] | None]:
    """Where the task waits, how many workers serve its queue, whether that is paused, and which tasks they know (None: unknown)."""
    from regiment_cli.serving import served_by, trees

    outlet = found.queue.outlet if hasattr(found, "queue") else found.outlet
    broker = outlet.broker()
    broker.close()
    made = broker.make()
    where = made.describe()
    try:
        made.open("look")
        there = trees(made)
        told = [target.tasks for tree in there for target in tree.targets if target.queue == queue]
        known = [tasks for tasks in told if tasks is not None]
        names = frozenset[str]().union(*known) if known and len(known) == len(told) else None
        return where, served_by(there).get(queue, (0, 0.0))[0], made.counts(queue).paused, names
    except RegimentError:
        return where, None, None, None
    finally:
        made.close()


def _alive(queue: str, workers: int | None, paused: bool | None) -> str:
    if workers is None:
        return "whether a worker is alive cannot be told"
    said = f"{many(workers, 'worker')} alive" if workers else "no worker is alive yet: regiment run"
    return f"the queue is paused: regiment queues resume {shlex.quote(queue)}; {said}" if paused else said
