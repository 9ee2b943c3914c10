"""What an operator does by a form: pause, resume, purge; replay and delete dead letters. Each is accounted for, as what is typed is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from regiment.errors import RegimentError
from regiment_cli.text import many
from regiment_console import groups, letters
from regiment_console.acting import account
from regiment_console.store import Store

Form = Mapping[str, Any]


class Told(NamedTuple):
    """What was done."""

    said: str
    """In words."""
    gone: Sequence[str] = ()
    """The ids of dead letters that are none any more."""


def pause(store: Store, queue: str, form: Form, via: str) -> Told:
    """Lease nothing more from it; where nothing is leased already, nothing is done, and no account is kept of it."""
    if store.looking.board(queue).paused:
        return Told(f'"{queue}" is paused already')
    with store.open("push") as writing, account(writing, queue, "pause", via=via) as made:
        writing.post(queue, paused=True)
        made.done = True
    return Told(f'"{queue}" is paused')


def resume(store: Store, queue: str, form: Form, via: str) -> Told:
    """Lease from it again; where that is so already, nothing is done, and no account is kept of it."""
    if not store.looking.board(queue).paused:
        return Told(f'"{queue}" is not paused')
    with store.open("push") as writing, account(writing, queue, "resume", via=via) as made:
        writing.post(queue, paused=False)
        made.done = True
    return Told(f'"{queue}" goes on')


def purge(store: Store, queue: str, form: Form, via: str) -> Told:
    """Delete what is ready or delayed; the form repeats the name of the queue."""
    if form.get("sure") != queue:
        raise RegimentError(
            f'nothing was deleted: expected the name of the queue, "{queue}", in the field beside the button'
        )
    with store.open("push") as writing, account(writing, queue, "purge", via=via) as made:
        made.number = writing.purge(queue)
    return Told(f'{many(made.number, "task")} of "{queue}" deleted')


def _chosen(store: Store, queue: str, form: Form) -> letters.Chosen:
    """The letters that were ticked, or all of the group up to the newest that was shown."""
    ticked = [str(one) for one in form.get("letter", ())]
    if ticked:
        return letters.choose(store.looking, queue, ticked)
    if form.get("all") != "yes":
        raise RegimentError("nothing was changed: tick letters, or use the button for all of them")
    wanted = groups.Wanted(group=form.get("group"), upto=str(form.get("upto", "")))
    return groups.choose(store.looking, queue, (), wanted)


def replay(store: Store, queue: str, form: Form, via: str) -> Told:
    """Make dead letters ready again, as if newly pushed."""
    chosen = _chosen(store, queue, form)
    with store.open("push") as writing, account(writing, queue, "replay", via=via, group=form.get("group")) as made:
        made.number = letters.replay(writing, queue, chosen, store.codec_like, None).revived
    return _told(f'{many(made.number, "dead letter")} of "{queue}" replayed', chosen)


def drop(store: Store, queue: str, form: Form, via: str) -> Told:
    """Delete dead letters for good."""
    chosen = _chosen(store, queue, form)
    with store.open("push") as writing, account(writing, queue, "drop", via=via, group=form.get("group")) as made:
        for _, ids in chosen:
            made.number += writing.drop(queue, ids)
    return _told(f'{many(made.number, "dead letter")} of "{queue}" deleted', chosen)


def _told(text: str, chosen: letters.Chosen) -> Told:
    return Told(text, [id for _, ids in chosen for id in ids])


DELETES = frozenset({"purge", "drop"})
"""Acts for which one has to be an admin."""
ACTS: Mapping[str, Callable[[Store, str, Form, str], Told]] = {
    "pause": pause,
    "resume": resume,
    "purge": purge,
    "replay": replay,
    "drop": drop,
}


def act(store: Store, name: str, queue: str, form: Form, via: str) -> Told:
    """Do it, and say what was done; `RegimentError` with the reason where it was not. `via`: by way of what it was asked."""
    return ACTS[name](store, store.known(queue), form, via)
