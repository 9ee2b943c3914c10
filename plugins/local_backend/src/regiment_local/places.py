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
    if of != state or len(key) != 2:
        raise ValueError(f"after is {after!r}; expected what a look at {state} tasks gave as `after`, or None")
    return key


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
