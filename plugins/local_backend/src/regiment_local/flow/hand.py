"""What people do and see in a queue that counts: purge, steer, revive; what stands in lanes, as ready."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Literal

from regiment_local import lanes, spans
from regiment_local.flow import uniques
from regiment_local.flow.admitting import Admission
from regiment_local.flow.leasing import Flow
from regiment_local.flow.moving import COLUMNS, Task
from regiment_local.lanes import PLACES
from regiment_local.schema import PLACE_BITS

Kind = Literal["ready", "delayed"]

IS_LINED = "EXISTS (SELECT 1 FROM lined l WHERE l.spot = t.spot AND l.priority = ? AND l.id = t.id)"
ARENAS = "SELECT no, priority FROM lanes WHERE queue = ? ORDER BY priority"
OURS = "spot IN (SELECT no FROM spots WHERE queue = ?)"
IDLE = "waiting = 0 AND running = 0 AND code IS NULL AND operator IS NULL AND pool || lane <> ''"
KEYS = "SELECT {id}, ukey FROM {table} WHERE ukey >= ? AND ukey < ?"

# looking


def lined(db: sqlite3.Connection, queue: int) -> int:
    """How many tasks are ready in lanes."""
    row = db.execute("SELECT waiting FROM spots WHERE queue = ? AND pool = '' AND lane = ''", (queue,)).fetchone()
    return 0 if row is None else int(row[0])


def oldest(db: sqlite3.Connection, queue: int) -> list[float]:
    """Since when the first tasks in lanes are ready."""
    return [
        row[0]
        for id in first_lined(db, queue, 1)
        for row in db.execute("SELECT since FROM tasks WHERE id = ? AND since IS NOT NULL", (id,))
    ]


def first_lined(db: sqlite3.Connection, queue: int, limit: int) -> list[int]:
    """Of each priority the first tasks that are ready in lanes."""
    found: list[int] = []
    for no, priority in db.execute(ARENAS, (-queue,)).fetchall():
        floor = no << PLACE_BITS
        rows = db.execute(
            f"SELECT t.id FROM tasks t WHERE t.id >= ? AND t.id < ? AND {IS_LINED} ORDER BY t.id LIMIT ?",
            (floor, floor + PLACES, priority, limit),
        )
        found += [row[0] for row in rows]
    return found


def priorities(db: sqlite3.Connection, queue: int) -> dict[int, int]:
    """The priority of each number that a task of this queue may have in the upper bits of its id."""
    return dict(db.execute("SELECT no, priority FROM lanes WHERE queue IN (?, ?)", (queue, -queue)).fetchall())


# purging


def waiting_keys(flow: Flow) -> list[str]:
    """The keys of tasks that wait."""
    held = set[int]()
    for (text,) in flow.db.execute(
        "SELECT held FROM consumers WHERE queue = ? AND held <> ''", (flow.queue,)
    ).fetchall():
        held.update(id for _, id in spans.singles(spans.parse(text)))
    found: list[str] = []
    for first, behind in ((" ", "!"), ("+", ",")):
        between = (f"{flow.queue}{first}", f"{flow.queue}{behind}")
        for id, ukey in flow.db.execute(KEYS.format(id="id", table="tasks"), between):
            if id not in held:
                found.append(ukey)
        found += [ukey for _, ukey in flow.db.execute(KEYS.format(id="no", table="delayed"), between)]
    return found


def purge(flow: Flow) -> int:
    """Delete what is ready in lanes, and have nothing wait; how many."""
    db, queue = flow.db, flow.queue
    flow.flush()
    gone = db.execute(f"DELETE FROM tasks WHERE id IN (SELECT id FROM lined WHERE {OURS})", (queue,)).rowcount
    db.execute(f"DELETE FROM lined WHERE {OURS}", (queue,))
    db.execute(f"DELETE FROM strands WHERE {OURS}", (queue,))
    db.execute("DELETE FROM rings WHERE queue = ?", (queue,))
    flow.anew()
    db.execute("UPDATE spots SET waiting = 0 WHERE queue = ? AND waiting > 0", (queue,))
    db.execute(
        f"DELETE FROM spots WHERE queue = ? AND {IDLE} AND gate <= ? AND tat <= ?", (queue, flow.wall, flow.wall)
    )
    db.execute(
        f"UPDATE spots SET opens = max(tat, gate) WHERE queue = ? AND {IDLE} AND opens IS NULL AND gate < 9e999",
        (queue,),
    )
    return gone


# steering


def find(flow: Flow, id: int) -> bool:
    """True if this task is ready in a lane."""
    if not flow.db.execute(
        "SELECT 1 FROM lanes WHERE no = ? AND queue = ?", (id >> PLACE_BITS, -flow.queue)
    ).fetchone():
        return False
    select = f"SELECT 1 FROM tasks t WHERE {IS_LINED} AND t.id = ?"
    return flow.db.execute(select, (flow.priority_of(id), id)).fetchone() is not None


def drop(flow: Flow, items: Sequence[tuple[Kind, int]]) -> None:
    """Delete, as if these had never been pushed."""
    keys: list[str] = []
    for kind, no in items:
        _, row = _take_out(flow, kind, no)
        uid, spot, ukey = row[5:8]
        if uid is not None:
            flow.db.execute("DELETE FROM ids WHERE uid = ?", (uid,))
        if spot is not None:
            flow.count(spot, 0, -1)
        if ukey is not None:
            keys.append(ukey)
    uniques.ended(flow.db, keys, flow.wall, dropped=True)


def change(
    flow: Flow, items: Sequence[tuple[Kind, int]], priority: int | None, due: float | None, delay: float | None
) -> None:
    """Give these another priority or time."""
    for kind, no in items:
        if kind == "delayed" and (delay is None or due is not None):
            flow.db.execute(
                "UPDATE delayed SET due = coalesce(?, due), priority = coalesce(?, priority) WHERE no = ?",
                (due, priority, no),
            )
            continue
        own, row = _take_out(flow, kind, no)
        level = own if priority is None else priority
        if due is not None:
            flow.make_delayed(due, level, [row])
        else:
            flow.make_ready(level, [row])
    flow.flush()


def _take_out(flow: Flow, kind: Kind, no: int) -> tuple[int, Task]:
    """A task that waits, with its priority, out of where it is."""
    db = flow.db
    if kind == "delayed":
        columns = COLUMNS.replace("since", "?")
        [(priority, *row)] = db.execute(
            f"SELECT priority, {columns} FROM delayed WHERE no = ?", (flow.wall, no)
        ).fetchall()
        lanes.forget_delayed(db, [no])
    elif no >= 0:
        [row] = db.execute(f"SELECT {COLUMNS} FROM tasks WHERE id = ?", (no,)).fetchall()
        priority = flow.priority_of(no)
        lanes.forget(db, [no])
    else:
        [row] = db.execute(f"DELETE FROM tasks WHERE id = ? RETURNING {COLUMNS}", (no,)).fetchall()
        priority = flow.priority_of(no)
        flow.unline(row[6], priority, no)
    return priority, tuple(row)


# reviving


def revive(flow: Flow, no: int, payload: bytes | None, uid: str | None = None) -> int:
    """Make a letter a task again, in its lane, with this id; 0 if there is none, or its key is held."""
    found = flow.db.execute(
        "SELECT payload, priority, ticket FROM letters WHERE queue = ? AND no = ?", (flow.queue, no)
    ).fetchone()
    if found is None:
        return 0
    old, priority, text = found
    spot = key = None
    if text is not None:
        ticket = uniques.read(text)
        if ticket.unique and ticket.until == "done":
            key = uniques.key_of(flow.queue, ticket.unique)
            if Admission(flow, priority, None).claim(key)[2]:
                return 0
        if (ticket.pool, ticket.lane) != ("", ""):
            spot = flow.named(ticket.pool, ticket.lane).no
            flow.count(spot, 0, 1)
        text = uniques.pack(ticket, flow.wall, flow.wall, spot is None)
    flow.db.execute("DELETE FROM letters WHERE no = ?", (no,))
    row = (old if payload is None else payload, flow.wall, 0, None, None, uid, spot, key, text)
    flow.make_ready(priority, [row])
    flow.flush()
    return 1
