"""`regiment why ID`: why a task does not run, or what it does: all reasons that apply, the first in bold."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from regiment.contracts import Letter
from regiment.contracts.steer import Steered
from regiment.errors import StoreUnavailable, nearest
from regiment.task import Task
from regiment_cli.options import json_option
from regiment_cli.printing import BOLD, PLAIN, put
from regiment_cli.serving import trees
from regiment_cli.terminal import show_json
from regiment_cli.text import age
from regiment_console import letters
from regiment_console.acting import read
from regiment_console.asked import of_plugins
from regiment_console.looking import nowhere
from regiment_console.reasons import Facts, reasons
from regiment_console.seen import decoded, state_of
from regiment_console.steering import find, steered
from regiment_console.store import Looked, open_store, shown_name, store_options

ACTS = 1000
"""Acts of a queue among which one is looked for that explains something."""


@click.command("why")
@click.argument("id")
@click.option("--queue", "-q", help="Look in this queue only.")
@store_options
@json_option
def command(id: str, queue: str | None, app: str | None, connector: str | None, as_json: bool) -> int:
    """Why a task does not run: all that stands in its way, the first thing first. Exit code 1 if nothing is known of it."""
    try:
        with open_store(app, connector) as store:
            known = list(store.looking.queues())
            queues = (
                [queue] if queue else known
            )  # one that is named may be idle, and its plugins know something all the same
            found = list(told(store, id, queues))
            where = store.where
    except StoreUnavailable as error:
        raise StoreUnavailable(
            f"{error}\n  nothing can be said of tasks while their store is away; regiment workers says what those of this host do"
        ) from error
    if as_json:
        show_json({"id": id, "store": where, "found": found})
    elif not found:
        put(nowhere(id, where, queues) + (nearest(queue, known) if queue and queue not in known else ""))
    for one in found if not as_json else ():
        put(f'{one["name"]} {one["id"]} of "{one["queue"]}" is {one["state"]}')
        bold = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        for number, line in enumerate(one["reasons"]):
            put(f"  {BOLD}{line}{PLAIN}" if bold and not number else f"  {line}")
    return 0 if found else 1


def told(store: Looked, id: str, queues: Sequence[str]) -> Iterator[dict[str, Any]]:
    """A record for each place where the task is: a queue, the dead letters, what a plugin knows."""
    looking = steered(store.looking, "regiment why")
    places: list[str] = []
    for one in find(looking, queues, [id]):
        task = decoded(one.seen, one.queue, store.codec())
        facts = _facts(looking, one.queue, id)._replace(seen=one.seen, task=task)
        places.append(one.queue)
        more = of_plugins(store, id, one.queue, task if isinstance(task, Task) else None)
        yield {
            "queue": shown_name(one.queue),
            "id": id,
            "name": (task.name if isinstance(task, Task) else "") or "task",
            "state": state_of(one.seen, task),
            "reasons": reasons(facts, more),
        }
    for home, letter in letters.find(looking, queues, id):
        places.append(home)
        words = letters.in_words(home, letter)
        yield {
            **{name: words[name] for name in ("queue", "id", "name")},
            "state": "dead",
            "reasons": [_dead(looking, home, letter, words), *of_plugins(store, id, home, None)],
        }
    if not places:
        if deleted := _deleted(looking, queues, id):
            yield deleted
            return
        for name in queues:
            if told := of_plugins(store, id, name, None):
                yield {
                    "queue": shown_name(name),
                    "id": id,
                    "name": "task",
                    "state": "not waiting there",
                    "reasons": list(dict.fromkeys(told)),
                }


def _deleted(looking: Steered, queues: Sequence[str], id: str) -> dict[str, Any] | None:
    """A record of a task that somebody has deleted, as the account of that says."""
    for queue in queues:
        for act in looking.acts(queue, ACTS):
            entry = read(act.entry)
            if entry["what"] == "cancel" and entry.get("now") and id in entry.get("ids", ()):
                why = f": {entry['reason']}" if entry.get("reason") else ""
                text = f"deleted by {entry['who']} {age(max(0.0, time.time() - act.at))} ago{why}; it runs no more"
                return {"queue": shown_name(queue), "id": id, "name": "task", "state": "deleted", "reasons": [text]}
    return None


def _facts(looking: Steered, queue: str, id: str) -> Facts:
    known = trees(looking)
    served = [tree for tree in known if queue in tree.workers.values()]
    acts: list[tuple[float, Mapping[str, Any]]] = [(act.at, read(act.entry)) for act in looking.acts(queue, ACTS)]
    return Facts(looking, queue, id, looking.board(queue), looking.counts(queue), served, known, acts)


def _dead(looking: Steered, queue: str, letter: Letter, words: Mapping[str, Any]) -> str:
    """What killed it, how many of the newest letters died alike, and what to do."""
    from regiment_console.groups import group_of

    group = group_of(letter)
    newest = letters.reasons(looking, queue, letters.PAGE)
    alike = sum(group_of(one) == group for one in newest) - 1
    error = ": ".join(map(str, filter(None, (words["error_type"], words["error"]))))
    many = f"; {alike:,} of the newest {len(newest):,} dead letters are like it" if alike > 0 else ""
    ago = age(max(0.0, time.time() - letter.at))
    return f"dead since {ago}: {words['kind']}: {error}{many}; regiment dead try {letter.id} -A MODULE, regiment dead replay {letter.id}"
