"""What an operator does by a form: pause, resume, purge; replay and delete dead letters. Each is an event in the log, with who."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from regiment import log
from regiment.errors import RegimentError
from regiment_cli.text import many
from regiment_console import letters
from regiment_console.store import Store
from regiment_dashboard.reading import GROUP, ids_of

Form = Mapping[str, Any]


def pause(store: Store, queue: str, form: Form) -> str:
    """Lease nothing more from it."""
    with store.open("push") as writing:
        writing.post(queue, paused=True)
    return f'"{queue}" is paused'


def resume(store: Store, queue: str, form: Form) -> str:
    """Lease from it again."""
    with store.open("push") as writing:
        writing.post(queue, paused=False)
    return f'"{queue}" goes on'


def purge(store: Store, queue: str, form: Form) -> str:
    """Delete what is ready or delayed; the form repeats the name of the queue."""
    if form.get("sure") != queue:
        raise RegimentError(
            f'nothing was deleted: expected the name of the queue, "{queue}", in the field beside the button'
        )
    with store.open("push") as writing:
        gone = writing.purge(queue)
    return f'{many(gone, "task")} of "{queue}" deleted'


def _chosen(store: Store, queue: str, form: Form) -> letters.Chosen:
    """The letters that were ticked, or all of the group up to the newest that was shown."""
    ticked = [str(one) for one in form.get("letter", ())]
    if ticked:
        return letters.choose(store.looking, queue, ticked)
    if form.get("all") != "yes":
        raise RegimentError("nothing was changed: tick letters, or use the button for all of them")
    wanted = {field: str(form[field]) for field in GROUP if field in form}
    return ids_of(store, queue, wanted, str(form.get("upto", "")))


def replay(store: Store, queue: str, form: Form) -> str:
    """Make dead letters ready again, as if newly pushed."""
    chosen = _chosen(store, queue, form)
    with store.open("push") as writing:
        done = letters.replay(writing, queue, chosen, store.codec_like, None)
    return f'{many(done.revived, "dead letter")} of "{queue}" replayed'


def drop(store: Store, queue: str, form: Form) -> str:
    """Delete dead letters for good."""
    chosen = _chosen(store, queue, form)
    with store.open("push") as writing:
        gone = sum(writing.drop(queue, ids) for _, ids in chosen)
    return f'{many(gone, "dead letter")} of "{queue}" deleted'


ACTS: Mapping[str, Callable[[Store, str, Form], str]] = {
    "pause": pause,
    "resume": resume,
    "purge": purge,
    "replay": replay,
    "drop": drop,
}


def act(store: Store, name: str, queue: str, form: Form, who: str) -> str:
    """Do it, and say what was done; `RegimentError` with the reason where it was not."""
    said = ACTS[name](store, store.known(queue), form)
    log.event(logging.WARNING, "operator.acted", act=name, queue=queue, who=who, said=said)
    return said
