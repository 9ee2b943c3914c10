"""Pushes as rows of a table: what stands in one, and what becomes of it."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from regiment.bounds import timestamp
from regiment.contracts import Effect, Keep, Ticket
from regiment.errors import ArgumentsError
from regiment.task import Task

WINDOW = 86_400.0
"""Seconds for which a store remembers what was relayed: a relay that dies between push and delete, and comes back within
them, doubles nothing.
"""


class Written(NamedTuple):
    """What a push writes of one task."""

    queue: str
    task: str
    """The task's id: the store leaves out what it knows already."""
    payload: bytes
    priority: int
    due: float | None
    """Seconds since the epoch; None: at once."""
    id_window: float
    """Seconds for which the store remembers the id."""
    effects: str
    """Records that are kept in the step that pushes (JSON); empty without any."""


class Row(NamedTuple):
    """A row of the outbox, as a relay reads it."""

    id: int
    queue: str
    task: str
    payload: bytes
    priority: int
    due: float | None
    id_window: float
    effects: str


def rows_of(
    broker: Any,
    queue: str,
    tasks: Sequence[Task],
    *,
    effects: Sequence[Effect] = (),
    priority: int = 1,
    delay: float = 0.0,
    at: float | None = None,
    ids: bool = False,
    tickets: Sequence[Ticket] | None = None,
    otherwise: str,
) -> Iterator[Written]:
    """The rows of a push, whose way is said as to `Broker.push`. `ArgumentsError` for what no row can carry; `otherwise`
    says what to do then.
    """
    if tickets is not None:
        raise ArgumentsError(f"this push has a pool, a lane or a unique key, which an outbox cannot carry; {otherwise}")
    due = timestamp(at) if at is not None else time.time() + delay if delay > 0 else None
    carried = _carried(effects, otherwise)
    window = broker.config.id_window if ids else max(WINDOW, broker.config.id_window)
    # What plugins add goes with the first row: it is to come no later than any of the tasks.
    return (
        Written(queue, task.id, broker.codec.encode(task), priority, due, window, "" if number else carried)
        for number, task in enumerate(tasks)
    )


def _carried(effects: Sequence[Effect], otherwise: str) -> str:
    """What plugins add to a push, as text."""
    found = []
    for effect in effects:
        if not isinstance(effect, Keep) or effect.queue is not None:
            raise ArgumentsError(
                f"a plugin adds {type(effect).__name__} to this push, and an outbox carries records of its own queue only; "
                f"{otherwise}"
            )
        found.append([effect.key, base64.b64encode(effect.value).decode(), effect.ttl, effect.rank, effect.listed])
    return json.dumps(found) if found else ""


def effects_of(carried: str) -> list[Effect]:
    """The effects in a row; `ValueError` for a text that has none."""
    if not carried:
        return []
    return [
        Keep(key, base64.b64decode(value), ttl, rank, listed) for key, value, ttl, rank, listed in json.loads(carried)
    ]
