"""The table in SQL, for PostgreSQL, MySQL, MariaDB and SQLite: rows are claimed, deleted, or kept with the reason why not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from regiment_outbox.rows import Row

TABLE = "regiment_outbox"
ROWS, BYTES = 500, 8 * 1024 * 1024
"""What is read and pushed at once, at most; one row at least."""
LONGEST_REASON = 1000

Run = Callable[[str, Sequence[Any]], Sequence[Sequence[Any]]]
"""Runs a statement, whose parameters stand as %s, in the open transaction; its rows, none where it has none."""


class Database(Protocol):
    """A database with an outbox, as a relay uses it."""

    name: str
    """What people call it."""

    def begin(self) -> AbstractContextManager[tuple[Run, bool]]:
        """A transaction for the length of a block, and True if this database can skip rows that others have locked.

        Where it cannot, the block is none: each statement stands for itself.
        """

    def close(self) -> None:
        """Close what is open."""


def claim(run: Run, queues: Sequence[str], locks: bool) -> list[Row]:
    """The oldest rows of these queues, locked where rows can be; of each queue only what no row of another relay stands before,
    as nothing must overtake.

    Where nothing is locked, two relays may push the same rows, each in their order, and the store leaves out what the second
    one brings.
    """
    waiting = f"FROM {TABLE} WHERE queue IN ({places(queues)}) AND reason = ''"
    lock = " FOR UPDATE SKIP LOCKED" if locks else ""
    found = run(f"SELECT id, queue, LENGTH(payload) {waiting} ORDER BY id LIMIT {ROWS}{lock}", queues)
    if not found:
        return []
    lengths = {row[0]: row[2] for row in found}
    order: Sequence[Sequence[Any]] = [row[:2] for row in found]
    if locks:
        order = list(run(f"SELECT id, queue {waiting} AND id <= %s ORDER BY id", [*queues, found[-1][0]]))
    chosen, others, size = list[int](), set[str](), 0
    for id, queue in order:
        if id not in lengths:
            others.add(queue)
        if queue in others:
            continue
        size += lengths[id]
        if chosen and size > BYTES:
            break
        chosen.append(id)
    if not chosen:
        return []
    fields = ", ".join(Row._fields)
    rows = run(f"SELECT {fields} FROM {TABLE} WHERE id IN ({places(chosen)}) ORDER BY id", chosen)  # noqa: S608
    return [Row(*row) for row in rows]


def delete(run: Run, ids: Sequence[int]) -> None:
    """These rows are in their queues."""
    if ids:
        run(f"DELETE FROM {TABLE} WHERE id IN ({places(ids)})", ids)  # noqa: S608


def keep(run: Run, id: int, reason: str) -> None:
    """This row cannot be pushed: it stays, and no relay looks at it any more."""
    run(f"UPDATE {TABLE} SET reason = %s WHERE id = %s", [reason[:LONGEST_REASON], id])  # noqa: S608


def places(values: Sequence[Any]) -> str:
    """As many parameters as there are values."""
    return ", ".join(["%s"] * len(values))
