"""Unique keys: in the row of the task that has one, so that they end with it; and what a ticket says beside its lane.

A key is written behind the number of its queue: "7 key" in the row of the holder, "7+key" in that of the successor that waits for it.
Keys that are held for some seconds stand in `timed` as well, since they outlive their task.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Literal, NamedTuple

from regiment.contracts.flow import Ticket

Table = Literal["tasks", "delayed"]

FIND = """
SELECT 'tasks', id, spot, ticket, 0.0 FROM tasks WHERE ukey = ?1 UNION ALL
SELECT 'delayed', no, spot, ticket, due FROM delayed WHERE ukey = ?1"""


class Row(NamedTuple):
    """The task that has a key, or waits for one."""

    table: Table
    no: int
    spot: int | None
    ticket: str
    due: float


def key_of(queue: int, unique: str) -> str:
    """A key, as its holder has it."""
    return f"{queue} {unique}"


def next_of(ukey: str) -> str:
    """The key of a holder, as its successor has it."""
    return ukey.replace(" ", "+", 1)


def holder_of(ukey: str) -> str:
    """A key of either form, as its holder has it."""
    number = len(ukey) - len(ukey.lstrip("0123456789"))
    return f"{ukey[:number]} {ukey[number + 1 :]}"


def pack(ticket: Ticket, pushed: float, first: float, always: bool = True) -> str | None:
    """What is kept of a ticket beside pool and lane, with the time of the push and of the first one with this key.

    None, if it need not be kept `always`, for one that has nothing else.
    """
    if not always and ticket[2:] == Ticket()[2:]:
        return None
    return json.dumps([*ticket[2:], pushed, first], separators=(",", ":"))


def unpack(pool: str, lane: str, text: str | None) -> Ticket:
    """The ticket of a task."""
    return Ticket(pool, lane, *(json.loads(text)[:5] if text else ()))


def write(ticket: Ticket) -> str:
    """A whole ticket as text; `read` makes it a ticket again."""
    return json.dumps(ticket, separators=(",", ":"))


def read(text: str) -> Ticket:
    """The ticket that `write` was given."""
    return Ticket(*json.loads(text))


def fields(text: str) -> tuple[str, str | float, str, float, str, float, float]:
    """unique, until, clash, longest, id, pushed, first."""
    unique, until, clash, longest, id, pushed, first = json.loads(text)
    return unique, until, clash, longest, id, pushed, first


def find(db: sqlite3.Connection, ukey: str) -> Row | None:
    """The task with this key."""
    row = db.execute(FIND, (ukey,)).fetchone()
    return None if row is None else Row(*row)


def timed(db: sqlite3.Connection, ukey: str) -> tuple[float, str] | None:
    """Until when a key is held, and the id of who pushed it, if it is one for some seconds."""
    found: tuple[float, str] | None = db.execute("SELECT until, id FROM timed WHERE ukey = ?", (ukey,)).fetchone()
    return found


def hold(db: sqlite3.Connection, ukey: str, text: str, wall: float) -> None:
    """Note how long the key of this ticket is held, if that is some seconds."""
    _, until, _, _, id, pushed, _ = fields(text)
    db.execute("DELETE FROM timed WHERE ukey = ?", (ukey,))
    if not isinstance(until, str) and pushed + until > wall:
        db.execute("INSERT INTO timed VALUES (?, ?, ?)", (ukey, pushed + until, id))


def let_go(db: sqlite3.Connection, ukey: str) -> None:
    """Whoever has this key has it no more."""
    for table in ("tasks", "delayed"):
        db.execute(f"UPDATE {table} SET ukey = NULL WHERE ukey = ?", (ukey,))
    db.execute("DELETE FROM timed WHERE ukey = ?", (ukey,))


def pass_on(db: sqlite3.Connection, ukey: str, wall: float) -> None:
    """Give a key that is free to the successor, if one waits for it."""
    for table in ("tasks", "delayed"):
        for (text,) in db.execute(
            f"UPDATE {table} SET ukey = ? WHERE ukey = ? RETURNING ticket", (ukey, next_of(ukey))
        ).fetchall():
            hold(db, ukey, text, wall)


def ended(db: sqlite3.Connection, ukeys: Sequence[str], wall: float, dropped: bool = False) -> None:
    """The tasks with these keys are no more; a key for some seconds is held on, unless its task was dropped."""
    for ukey in ukeys:
        if holder_of(ukey) != ukey:
            continue
        if dropped:
            db.execute("DELETE FROM timed WHERE ukey = ?", (ukey,))
        held = timed(db, ukey)
        if held is None or held[0] <= wall:
            pass_on(db, ukey, wall)


def leased(db: sqlite3.Connection, id: int, ukey: str, text: str, wall: float) -> None:
    """A task with a key is leased: one until "start" is free now; a successor takes it over from a holder that still has it."""
    start = fields(text)[1] == "start"
    holder = holder_of(ukey)
    if start:
        db.execute("UPDATE tasks SET ukey = NULL WHERE id = ?", (id,))
        if holder == ukey:
            pass_on(db, ukey, wall)
    elif holder != ukey:
        let_go(db, holder)
        db.execute("UPDATE tasks SET ukey = ? WHERE id = ?", (holder, id))
        hold(db, holder, text, wall)


def clean(db: sqlite3.Connection, wall: float) -> None:
    """Forget keys whose time is over."""
    for (ukey,) in db.execute("SELECT ukey FROM timed WHERE until <= ?", (wall,)).fetchall():
        expire(db, ukey, wall)


def expire(db: sqlite3.Connection, ukey: str, wall: float) -> None:
    """The time of a key is over: it is the successor's, or free."""
    let_go(db, ukey)
    pass_on(db, ukey, wall)
