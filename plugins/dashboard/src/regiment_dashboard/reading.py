"""What the pages show beyond the last look: tasks that wait, groups of dead letters, one letter. Asked in one thread, one after another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from regiment.errors import DecodeError
from regiment_console import letters, masks
from regiment_console.grouping import folded
from regiment_console.groups import group_of
from regiment_console.seen import NAMES
from regiment_console.store import Store

MOST = 100
"""Tasks or letters on one page."""
MOST_GROUPS = 200
"""Groups on one page."""
SHOWN = 200
"""Characters of an argument on a page of many."""


def tasks(store: Store, queue: str, state: Any) -> list[dict[str, Any]]:
    """The first tasks of a state."""
    codec, found = store.codec(), []
    for one in store.looking.peek(queue, state, MOST):
        priority = NAMES.get(one.priority, str(one.priority))
        shown: dict[str, Any] = {"due": one.due, "priority": priority, "count": one.count, "consumer": one.consumer}
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
    return {str(name): letters.shown(masks.hidden(value, name)) for name, value in values.items()}


def rows(store: Store, queue: str, found: Sequence[tuple[str, dict[str, Any] | None]]) -> list[dict[str, Any]]:
    """Letters as a page of many shows them; those of which nothing is known yet are asked for, and those that are gone left out."""
    known: list[dict[str, Any]] = []
    for id, row in found:
        if row is None:
            row = next((letters.in_words(queue, one) for one in store.looking.letters(queue, id) if one.id == id), None)
        known += [row] if row is not None else []
    return known


def letter(store: Store, queue: str, id: str) -> dict[str, Any] | None:
    """Everything in a letter, as texts; None if it is gone."""
    found = letters.find(store.looking, [queue], id)
    if not found:
        return None
    whole = letters.as_json(letters.in_full(*found[0], store.codec()))
    whole["group"] = group_of(found[0][1])
    whole["folded"] = folded(str(whole.get("traceback") or ""))
    whole["arguments"], whole["headers"] = masked(whole.get("kwargs") or {}), masked(whole.get("headers") or {})
    return whole
