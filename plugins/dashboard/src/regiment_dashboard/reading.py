"""What the pages show beyond the last look: tasks that wait, groups of dead letters, one letter. Asked in one thread, one after another."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from regiment.errors import DecodeError, RegimentError
from regiment_console import letters
from regiment_console.store import Store

MOST = 100
"""Tasks or letters on one page."""
SHOWN = 200
"""Characters of an argument on a page of many."""
SECRET = re.compile(r"passw|passphrase|secret|token|api_?key|credential|authori[sz]ation|cookie|private", re.IGNORECASE)
"""Names of arguments and headers whose values no page shows."""
GROUP = ("kind", "error_type", "name")
"""What letters of one group have in common."""


def tasks(store: Store, queue: str, state: Any) -> list[dict[str, Any]]:
    """The first tasks of a state."""
    codec, found = store.codec(), []
    for one in store.looking.peek(queue, state, MOST):
        shown: dict[str, Any] = {"due": one.due, "priority": one.priority, "count": one.count, "consumer": one.consumer}
        try:
            task = codec.decode(one.payload, queue)
            shown |= {"id": task.id, "name": task.name or queue, "kwargs": _short(task.kwargs), "runs": task.run_count}
        except DecodeError as error:
            shown |= {"id": "?", "name": "?", "kwargs": str(error), "runs": 0}
        found.append(shown)
    return found


def _short(kwargs: Mapping[str, Any]) -> str:
    text = ", ".join(f"{name}={value}" for name, value in masked(kwargs).items())
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def masked(values: Mapping[str, Any]) -> dict[str, str]:
    """Arguments or headers as texts, without those that are secret by their name."""
    return {str(name): "•••" if SECRET.search(str(name)) else letters.shown(value) for name, value in values.items()}


def groups(store: Store, queues: Sequence[str]) -> list[dict[str, Any]]:
    """Dead letters, counted by what they died of."""
    return letters.grouped(store.looking, queues)


def group(store: Store, queue: str, wanted: Mapping[str, str]) -> tuple[list[dict[str, Any]], str | None]:
    """The newest letters of a group (all of the queue if nothing is wanted), and the newest letter of the queue: what is done to the group
    later is not done to what died after that.
    """
    found, newest = [], None
    for _, page in letters.pages(store.looking, queue):
        newest = newest or page[0].id
        found += [one for one in (letters.in_words(queue, letter) for letter in page) if is_of(one, wanted)]
        if len(found) >= MOST:
            break
    return found[:MOST], newest


def is_of(one: Mapping[str, Any], wanted: Mapping[str, str]) -> bool:
    """True if a letter in words is of a group."""
    return all((one.get(field) or "") == value for field, value in wanted.items())


def ids_of(store: Store, queue: str, wanted: Mapping[str, str], upto: str) -> letters.Chosen:
    """The letters of a group, but none that died after the letter `upto`."""
    chosen: letters.Chosen = []
    begun = False
    for after, page in letters.pages(store.looking, queue):
        mine = []
        for letter in page:
            begun = begun or letter.id == upto
            if begun and is_of(letters.in_words(queue, letter), wanted):
                mine.append(letter.id)
        if mine:
            chosen.append((after, mine))
    if not begun:
        raise RegimentError("the newest letter that this page showed is gone; look at the page again")
    return chosen


def letter(store: Store, queue: str, id: str) -> dict[str, Any] | None:
    """Everything in a letter, as texts; None if it is gone."""
    found = letters.find(store.looking, [queue], id)
    if not found:
        return None
    whole = letters.as_json(letters.in_full(*found[0], store.codec()))
    whole["arguments"], whole["headers"] = masked(whole.get("kwargs") or {}), masked(whole.get("headers") or {})
    return whole
