"""New tasks in a queue, from a push or from an effect."""

from __future__ import annotations

import time
from collections.abc import Sequence

from regiment_local.memory.queue import Queue
from regiment_local.memory.tasks import Entry


def put(
    into: Queue,
    payloads: Sequence[bytes],
    priority: int,
    delay: float,
    at: float | None,
    ids: Sequence[str] | None,
    id_window: float,
) -> list[int]:
    """Append the payloads, without those whose id is known; the indexes of these. Called under the store's lock."""
    now = time.time()
    due = at if at is not None else now + delay
    left_out: list[int] = []
    for index, payload in enumerate(payloads):
        id = ids[index] if ids is not None else None
        if id is not None:
            waits = any(entry.uid == id for entry in into.entries())
            if waits or into.ids.get(id, 0) > now:
                left_out.append(index)
                continue
            into.ids[id] = now + id_window
        entry = Entry(bytes(payload), priority, 0, now, id)
        if due > now:
            into.put_off(entry, due)
        else:
            into.append(entry)
    if due <= now and len(left_out) < len(payloads):
        into.call_ready()
    return left_out
