"""Words that `look` and `steer` exchange with people: where a task is, and where a look goes on. Of both connectors here."""

from __future__ import annotations

import json
from typing import Any

from regiment.contracts import steer
from regiment.errors import StoreError

STATES = ("ready", "delayed", "leased")


def cursor(state: str, *key: object) -> str:
    """What a look at this state gives as `after`: the place of the last task that it went through."""
    return json.dumps([state, *key])


def key_of(state: str, after: str | None) -> list[Any] | None:
    """The key in a cursor; None where a look begins. ValueError for an unknown state, and for a cursor that is none of it."""
    if state not in STATES:
        raise ValueError(f"state is {state!r}; expected 'ready', 'delayed' or 'leased'")
    if after is None:
        return None
    key: list[Any]
    try:
        of, *key = json.loads(after)
    except (TypeError, ValueError):
        of, key = "", []
    if of != state or not _is_key(state, key):
        raise ValueError(f"after is {after!r}; expected what a look at {state} tasks gave as `after`, or None")
    return key


def _is_key(state: str, key: list[Any]) -> bool:
    kinds = [type(part) for part in key]
    wanted = [[str, int]] if state == "leased" else [[int, int], [float, int]]
    return kinds in wanted and all(kind is not int or abs(part) < 2**63 for kind, part in zip(kinds, key, strict=True))


def ready(id: int) -> str:
    """The place of a ready task. No id comes again: a lane's head goes past those that were deleted."""
    return f"r{id}"


def delayed(no: int, due: float) -> str:
    """The place of a delayed task. A number may come again, but not before that time is over."""
    return f"d{no}@{due!r}"


def leased(id: int) -> str:
    """The place of a task on lease; nothing can be done there."""
    return f"l{id}"


def parse(place: str) -> tuple[str, int, float]:
    """What a place names: "ready" and the id, or "delayed" with the number and the due time; else an empty word."""
    no, _, due = place[1:].partition("@")
    try:
        if place[:1] == "r" and not due:
            return "ready", -number_in(no[1:]) if no[:1] == "-" else number_in(no), 0.0
        if place[:1] == "d":
            return "delayed", number_in(no), float(due)
    except ValueError:
        pass
    return "", 0, 0.0


def number_in(text: str) -> int:
    """The number in an id of ours; one that nothing has, if it is none."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else -1


def refuse_nothing(drop: bool, priority: int | None, delay: float | None) -> None:
    """ValueError if `steer` is told neither to delete nor to change, or both."""
    change = priority is not None or delay is not None
    if drop == change:
        said = "drop and a change" if drop else "neither drop nor a change"
        raise ValueError(f"steer got {said}; expected drop=True alone, or priority, or delay, or these two")


def refuse_many(queue: str, before: int, after: int) -> None:
    """StoreError if a post leaves more ids on a board than may stand there. (A file may hold more, of an older release.)"""
    if after > max(before, steer.MOST_NOTICES):
        raise StoreError(
            f"{after:,} cancelled ids would stand on the board of queue {queue!r}; expected at most {steer.MOST_NOTICES:,}. "
            "Nothing was changed. Delete tasks that wait instead of cancelling them, or clear ids that are over"
        )


def refuse_large(entry: bytes) -> None:
    """ValueError if an act is too large to be kept."""
    if len(entry) > steer.ACT_SIZE:
        raise ValueError(f"the act has {len(entry):,} bytes; expected at most {steer.ACT_SIZE:,}. Nothing was kept")
