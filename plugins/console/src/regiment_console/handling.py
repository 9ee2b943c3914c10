"""`regiment tasks cancel|run|move`: what is done to single tasks, by their ids, in whatever queue they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any, NamedTuple

import click

from regiment.contracts.steer import Steered
from regiment.errors import RegimentError
from regiment.task import PRIORITIES
from regiment_cli.options import json_option
from regiment_cli.printing import say
from regiment_cli.terminal import Duration, show_json
from regiment_cli.text import age, many
from regiment_console import letters
from regiment_console.acting import account
from regiment_console.asking import sure
from regiment_console.looking import command, nowhere
from regiment_console.seen import decoded
from regiment_console.steering import Found, chosen, find, id_of, steered
from regiment_console.store import Store, open_store, store_options

__all__ = ["command"]

NAMED = 5
"""Tasks that a question names; of more it says how many."""

_ids = click.argument("ids", nargs=-1, required=True, metavar="ID...")
_queue = click.option("--queue", "-q", help="Look in this queue only.")
_reason = click.option("--reason", help="Why; kept with the account of what was done.")


class Here(NamedTuple):
    """What was found of the ids."""

    waiting: list[Found]
    leased: list[Found]
    trouble: list[str]
    """A line for each id with which nothing can be done."""


def _look(store: Store, looking: Steered, ids: Sequence[str], queue: str | None) -> Here:
    queues = chosen(store, queue)
    found = find(looking, queues, ids)
    known = {id_of(one.seen.payload) for one in found}
    trouble = []
    for id in dict.fromkeys(ids):
        if id in known:
            continue
        dead = letters.find(looking, queues, id)
        if dead:
            trouble.append(f'{id} is a dead letter of "{dead[0][0]}" and does not run: regiment dead replay {id}')
        else:
            trouble.append(nowhere(id, store.where, queues))
    leased = [one for one in found if one.seen.state == "leased"]
    return Here([one for one in found if one.seen.state != "leased"], leased, trouble)


def _per_queue(found: Iterable[Found]) -> list[tuple[str, list[Found]]]:
    by_queue = sorted(found, key=lambda one: one.queue)
    return [(queue, list(group)) for queue, group in groupby(by_queue, key=lambda one: one.queue)]


def _names(store: Store, found: Sequence[Found]) -> str:
    """A few of them in words: `send 01jd-3 of "mail"`."""
    words = []
    for one in found[:NAMED]:
        task = decoded(one.seen, one.queue, store.codec())
        name = getattr(task, "name", "") or "task"
        words.append(f'{name} {id_of(one.seen.payload)} of "{one.queue}"')
    rest = len(found) - NAMED
    return ", ".join(words) + (f" and {rest:,} more" if rest > 0 else "")


def _steer(writing: Steered, queue: str, found: Sequence[Found], made: Any, **how: Any) -> list[Found]:
    """Change these; those that were left as they are, because a worker or somebody else was first."""
    done = set(writing.steer(queue, [one.seen.place for one in found], **how))
    changed = [one for one in found if one.seen.place in done]
    made.number += len(changed)
    made.names += [id_of(one.seen.payload) for one in changed]
    return [one for one in found if one.seen.place not in done]


class Told:
    """What was done, in lines for people or as JSON; ends with exit code 1 if something was not done."""

    def __init__(self, as_json: bool, trouble: Sequence[str]) -> None:
        self._as_json, self.trouble = as_json, list(trouble)
        self.done: dict[str, list[dict[str, str]]] = {}
        self._lines: list[str] = []

    def add(self, what: str, found: Sequence[Found], line: str = "") -> None:
        """Something was done to these."""
        if found:
            ids = [{"queue": one.queue, "id": id_of(one.seen.payload)} for one in found]
            self.done[what] = self.done.get(what, []) + ids
            self._lines.append(f'{what} {many(len(found), "task")} of "{found[0].queue}"{line}')

    def say(self) -> None:
        """Tell it all."""
        if self._as_json:
            show_json({**self.done, "not_done": self.trouble})
        for line in self._lines if not self._as_json else ():
            say(line)
        if self.trouble:
            raise RegimentError("\n  ".join(self.trouble))


@contextmanager
def _handling(verb: str, app: str | None, connector: str | None) -> Any:
    with open_store(app, connector) as store:
        yield store, steered(store.looking, f"regiment tasks {verb}")


@command.command("cancel")
@_ids
@click.option("--now", is_flag=True, help="Take those that wait out of their queues at once, without a trace.")
@_queue
@_reason
@click.option("--yes", is_flag=True, help="Do not ask.")
@store_options
@json_option
def cancel(
    ids: tuple[str, ...],
    now: bool,
    queue: str | None,
    reason: str | None,
    yes: bool,
    app: str | None,
    connector: str | None,
    as_json: bool,
) -> None:
    """Cancel tasks. One that waits ends without a run when its turn comes; one that runs is told to stop, and is not retried.

    With --now those that wait are deleted at once: no handler is called and nothing is kept of them.
    """
    with _handling("cancel", app, connector) as (store, looking):
        here = _look(store, looking, ids, queue)
        told = Told(as_json, here.trouble)
        found = [*here.waiting, *here.leased]
        if found:
            what = f"{len(here.waiting):,} waiting, {len(here.leased):,} on lease"
            sure(f"Cancel {many(len(found), 'task')} ({what}): {_names(store, found)} in {store.where}?", yes)
            with store.open("push") as opened:
                writing = steered(opened, "regiment tasks cancel")
                for name, some in _per_queue(found):
                    with account(writing, name, "cancel", reason, now=now or None) as made:
                        _cancel(looking, writing, name, some, now, made, told)
    told.say()


def _cancel(
    looking: Steered, writing: Steered, queue: str, found: list[Found], now: bool, made: Any, told: Told
) -> None:
    left: list[Found] = []
    if now:
        waiting = [one for one in found if one.seen.state != "leased"]
        left = _steer(writing, queue, waiting, made, drop=True) if waiting else []
        told.add("deleted", [one for one in waiting if one not in left])
        found = [*left, *(one for one in found if one.seen.state == "leased")]
    if found:
        ids = [id_of(one.seen.payload) for one in found]
        notify(looking, writing, queue, ids)
        made.number += len(ids)
        made.names += ids
    runs = [one for one in found if one.seen.state == "leased" or one in left]  # a worker was faster
    told.add("cancelled", [one for one in found if one not in runs], "; each ends without a run when its turn comes")
    told.add("told to stop", runs, "; what has just ended stays so")


def notify(looking: Steered, writing: Steered, queue: str, ids: Sequence[str]) -> None:
    """Put these tasks on the notice board as cancelled, and take off again those of which nothing is there any more."""
    writing.post(queue, cancel=ids)
    if over := _gone(looking, queue, ids):
        writing.post(queue, clear=over)


def _gone(looking: Steered, queue: str, ids: Sequence[str]) -> list[str]:
    """Those of which nothing is there any more: their notices would stand for 30 days, and cancel who has these ids next.

    Looked for twice, because a task that changes its state while it is looked for may not be seen.
    """
    for _ in range(2):
        if ids:
            there = {id_of(one.seen.payload) for one in find(looking, [queue], ids)}
            ids = [id for id in ids if id not in there]
    return list(ids)


@command.command("run")
@_ids
@_queue
@_reason
@store_options
@json_option
def run(
    ids: tuple[str, ...], queue: str | None, reason: str | None, app: str | None, connector: str | None, as_json: bool
) -> None:
    """Make delayed tasks ready now: also those that wait for a retry, or are parked."""
    with _handling("run", app, connector) as (store, looking):
        here = _look(store, looking, ids, queue)
        trouble = [*here.trouble, *(_runs(one) for one in here.leased)]
        trouble += [
            f'{id_of(one.seen.payload)} of "{one.queue}" is ready already: regiment why {id_of(one.seen.payload)}'
            for one in here.waiting
            if one.seen.state == "ready"
        ]
        delayed = [one for one in here.waiting if one.seen.state == "delayed"]
        told = Told(as_json, trouble)
        _change(store, delayed, "run", reason, "made ready", "", told, delay=0.0)
    told.say()


@command.command("move")
@_ids
@click.option("--priority", type=click.Choice(list(PRIORITIES), case_sensitive=False), help="To the tail of this one.")
@click.option("--delay", type=Duration(), help="Due in 30s, 5m, 2h.")
@_queue
@_reason
@store_options
@json_option
def move(
    ids: tuple[str, ...],
    priority: str | None,
    delay: float | None,
    queue: str | None,
    reason: str | None,
    app: str | None,
    connector: str | None,
    as_json: bool,
) -> None:
    """Give tasks that wait another priority, or another time."""
    if priority is None and delay is None:
        raise click.UsageError("nothing to change: name --priority, --delay or both", click.get_current_context())
    how: dict[str, Any] = {"delay": delay} if delay is not None else {}
    words = [f"due in {age(delay)}"] if delay is not None else []
    if priority is not None:
        how["priority"] = PRIORITIES[priority.upper()]
        words.append(f"priority {priority.upper()}")
    with _handling("move", app, connector) as (store, looking):
        here = _look(store, looking, ids, queue)
        told = Told(as_json, [*here.trouble, *(_runs(one) for one in here.leased)])
        _change(store, here.waiting, "move", reason, "moved", ", ".join(words), told, **how)
    told.say()


def _runs(one: Found) -> str:
    id = id_of(one.seen.payload)
    return f'{id} of "{one.queue}" is on lease by a worker and cannot be moved: regiment tasks cancel {id}'


def _change(
    store: Store, found: list[Found], what: str, reason: str | None, done: str, words: str, told: Told, **how: Any
) -> None:
    """Steer these, and tell what was done and what was not."""
    if not found:
        return
    with store.open("push") as opened:
        writing = steered(opened, f"regiment tasks {what}")
        for queue, some in _per_queue(found):
            with account(writing, queue, what, reason, to=words or None) as made:
                left = _steer(writing, queue, some, made, **how)
            told.add(done, [one for one in some if one not in left], f": {words}" if words else "")
            told.trouble += [
                f'{id_of(one.seen.payload)} of "{queue}" was leased or moved meanwhile; nothing was done to it'
                for one in left
            ]
