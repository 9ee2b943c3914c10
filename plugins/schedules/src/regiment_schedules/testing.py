"""For tests of applications, inside of `regiment_testing.capture()`: nothing fires there by itself."""

from __future__ import annotations

from datetime import UTC, datetime

from regiment import pushing
from regiment.contracts import Send
from regiment.errors import RegimentError, nearest
from regiment.queue import Queue
from regiment_schedules import records
from regiment_schedules.declared import declared, encoded, priority
from regiment_schedules.plan import between
from regiment_schedules.records import renamed
from regiment_schedules.ticks import written

__all__ = ["fire", "ticks"]

ticks = between


def fire(queue: Queue, name: str, at: datetime | None = None) -> str:
    """Push the task of a schedule of the code as its tick at `at` (now) would; the id of the task. `drain()` runs it."""
    if pushing.override is None:
        raise RegimentError("fire(…) was called outside of capture(): it would push to the real store")
    known = {one_name: (task, one) for one_name, task, one in declared(queue)}
    if name not in known:
        raise RegimentError(f"queue {queue.name!r} has no schedule {name!r} in code.{nearest(name, known)}")
    task, one = known[name]
    tick = datetime.now(UTC) if at is None else at
    id = f"{name}@{written(tick.timestamp())}"
    payload, _, spec = encoded(task, one)
    with queue.broker.connector() as store:
        send = Send(queue.name, [renamed(payload, id)], priority(one.spec), ids=[id], tickets=records.tickets(spec, id))
        store.apply(queue.name, [send], token=id)  # type: ignore[attr-defined]
    return id
