"""Pushes as rows of a table, written in the transaction of what they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from regiment.task import Task
from regiment_outbox.rows import rows_of

OTHERWISE = "push with options(now=True), or after the commit: REGIMENT without outbox"


def write(broker: Any, alias: str, queue: str, tasks: Sequence[Task], **way: Any) -> Sequence[int]:
    """Write the tasks into the outbox of this database, in its open transaction. Called in the place of `Broker.push`."""
    rows = rows_of(broker, queue, tasks, **way, otherwise=OTHERWISE)
    from regiment_django.models import Outbox

    Outbox.objects.using(alias).bulk_create([Outbox(**row._asdict()) for row in rows], batch_size=200)
    return ()
