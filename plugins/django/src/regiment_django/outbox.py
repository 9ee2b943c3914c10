"""Pushes as rows of a table, written in the transaction of what they belong to."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Sequence
from typing import Any

from regiment.bounds import timestamp
from regiment.contracts import Effect, Keep, Ticket
from regiment.errors import ArgumentsError
from regiment.task import Task

WINDOW = 86_400.0
"""Seconds for which a store remembers what was relayed: a relay that dies between push and delete, and comes back within
them, doubles nothing.
"""


def write(
    broker: Any,
    alias: str,
    queue: str,
    tasks: Sequence[Task],
    *,
    effects: Sequence[Effect] = (),
    priority: int = 1,
    delay: float = 0.0,
    at: float | None = None,
    ids: bool = False,
    tickets: Sequence[Ticket] | None = None,
) -> Sequence[int]:
    """Write the tasks into the outbox of this database, in its open transaction. Called in the place of `Broker.push`."""
    if tickets is not None:
        raise ArgumentsError(
            "this push has a pool, a lane or a unique key, which an outbox cannot carry; push with options(now=True), or after the "
            "commit: REGIMENT without outbox"
        )
    from regiment_django.models import Outbox

    due = timestamp(at) if at is not None else time.time() + delay if delay > 0 else None
    carried = _carried(effects)
    rows = [
        Outbox(
            queue=queue,
            task=task.id,
            payload=broker.codec.encode(task),
            priority=priority,
            due=due,
            id_window=broker.config.id_window if ids else max(WINDOW, broker.config.id_window),
            effects=carried if number == 0 else "",
        )
        for number, task in enumerate(tasks)
    ]
    Outbox.objects.using(alias).bulk_create(rows, batch_size=200)
    return ()


def _carried(effects: Sequence[Effect]) -> str:
    """What plugins add to a push, as text. All of it goes with the first row: it is to come no later than any of the tasks."""
    found = []
    for effect in effects:
        if not isinstance(effect, Keep) or effect.queue is not None:
            raise ArgumentsError(
                f"a plugin adds {type(effect).__name__} to this push, and an outbox carries records of its own queue only; "
                "push with options(now=True), or after the commit: REGIMENT without outbox"
            )
        found.append([effect.key, base64.b64encode(effect.value).decode(), effect.ttl, effect.rank, effect.listed])
    return json.dumps(found) if found else ""


def effects_of(carried: str) -> list[Effect]:
    """What `write` has put into a row."""
    if not carried:
        return []
    return [
        Keep(key, base64.b64decode(value), ttl, rank, listed) for key, value, ttl, rank, listed in json.loads(carried)
    ]
