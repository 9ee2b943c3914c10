"""The operator's hand: going through what is in the file, and changing what waits.

Reading never stops anybody here. What is changed moves by steps of at most `STEP` tasks, with a pause behind each as long as it
took. A lane has no gaps from its head on, and an exchange relies on that; so before a task in the middle is taken out, those
before it go to `front`, where gaps are allowed: they keep their ids, and with them their order and their places.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any

from regiment.contracts import Counts, Glance, Seen, steer
from regiment_local import lanes, places, spans
from regiment_local.base import number_of, queue_topic
from regiment_local.counted import Counted
from regiment_local.flow import hand
from regiment_local.flow.leasing import Flow
from regiment_local.lanes import PLACES
from regiment_local.ledger import carrying
from regiment_local.looking import State, counts_of
from regiment_local.schema import PLACE_BITS

PAUSE = 0.001
"""Seconds between two steps, at the least."""

COLUMNS = "{what}, t.count, t.note, t.parked"
ALL = "t.payload, 1"
FOUND = "CASE WHEN instr(t.payload, :holding) THEN t.payload END, instr(t.payload, :holding)"
"""So that a payload that is not asked for is not handed out."""

FRONT = """SELECT f.id, {columns}, t.since, :priority FROM front f JOIN tasks t ON t.id = f.id
WHERE f.id >= :low AND f.id < :high ORDER BY f.id LIMIT :most"""
LANE = """SELECT t.id, {columns}, t.since, :priority FROM tasks t
WHERE t.id >= :low AND t.id < :high ORDER BY t.id LIMIT :most"""
LINED = """SELECT t.id, {columns}, t.since, :priority FROM tasks t WHERE t.id >= :low AND t.id < :high
AND EXISTS (SELECT 1 FROM lined l WHERE l.spot = t.spot AND l.priority = :priority AND l.id = t.id) ORDER BY t.id LIMIT :most"""
AMONG = """SELECT t.id, {columns}, t.since, :priority FROM tasks t WHERE t.id >= :low AND t.id < min(:high, :low + :most)
AND (instr(t.payload, :holding) OR (t.id - :low) % 500 = 499 OR t.id = :low + :most - 1
     OR t.id = (SELECT max(id) FROM tasks WHERE id >= :low AND id < :high)) ORDER BY t.id"""
"""Of a lane from its head on, which has no gaps: those that are asked for, each 500th, and the last one of as many as are looked
through, or of all. So a look goes through a million others without a step of Python's for each.
"""
DELAYED = """SELECT t.no, {columns}, NULL, t.priority, t.due FROM delayed t
WHERE t.queue = :queue AND (t.due, t.no) > (:due, :no) ORDER BY t.due, t.no LIMIT :most"""

FRONT_HAS = "SELECT 1 FROM front WHERE id = ?"
TASKS_HAVE = "SELECT 1 FROM tasks WHERE id = ?"

Rows = Iterator[tuple[Any, int, Sequence[Any], int]]
"""The two parts of a task's key in its state; its number, its payload, if it is asked for, and what else is known of it; how many were
gone through since the one before.
"""


class Steering(Counted):
    """look, steer, counts_many."""

    def counts_many(self, queues: Sequence[str]) -> Sequence[Counts]:
        return self._read(lambda db: [counts_of(db, queue) for queue in queues], [Counts()] * len(queues))

    # look

    def look(
        self, queue: str, state: State, limit: int = 100, *, after: str | None = None, holding: bytes = b""
    ) -> Glance:
        key = places.key_of(state, after)
        rows = {"ready": _ready, "delayed": _delayed, "leased": _leased}[state]

        def work(db: sqlite3.Connection) -> Glance:
            number, wall = number_of(db, queue), time.time()
            found: list[Seen] = []
            looked, last = 0, key
            for one, two, row, gone in () if number is None else rows(db, number, key, holding):
                if len(found) >= limit or looked + gone > steer.LOOKED_AT:
                    return Glance(found, None if last is None else places.cursor(state, *last))
                looked, last = looked + gone, [one, two]
                if row[2]:
                    found.append(_seen(state, one, two, row, wall))
            return Glance(found)

        return self._read(work, Glance([]))

    # steer

    def steer(
        self,
        queue: str,
        places: Sequence[str],
        *,
        drop: bool = False,
        priority: int | None = None,
        delay: float | None = None,
    ) -> Sequence[str]:
        refuse_nothing(drop, priority, delay)
        wanted, done = list(dict.fromkeys(places)), list[str]()
        while wanted:
            part, start = wanted[: steer.STEP], time.monotonic()
            ended = self._write_durably(self._carried, queue, part, drop, priority, delay)
            if ended is not None:  # else tasks before these were moved out of the way
                done += ended
                wanted = wanted[len(part) :]
            if wanted:
                time.sleep(max(PAUSE, time.monotonic() - start))
        return done

    def _carried(self, db: sqlite3.Connection, queue: str, wanted: Sequence[str], drop: bool, *more: Any) -> Any:
        """`_steer`; what a task has entered stays with it, unless it is dropped."""
        with nullcontext() if drop or not self._has(db, "carrying") else carrying(db):
            return self._steer(db, queue, wanted, drop, *more)

    def _steer(
        self,
        db: sqlite3.Connection,
        queue: str,
        wanted: Sequence[str],
        drop: bool,
        priority: int | None,
        delay: float | None,
    ) -> list[str] | None:
        """One step; None if it is not done yet."""
        number = number_of(db, queue)
        if number is None:
            return []
        ready, delayed = _find(db, number, wanted)
        if not _reach(db, number, ready, steer.STEP - len(wanted)):
            return None
        flow = self._flow_of(db, number, queue)
        if flow is not None:
            return self._steer_flow(db, flow, wanted, ready, delayed, drop, priority, delay)
        done = [place for place in wanted if place in ready or place in delayed]
        if drop:
            _drop(db, list(ready.values()), list(delayed.values()))
            return done
        due = None if delay is None or delay <= 0 else time.time() + delay
        again: list[tuple[int, lanes.Row]] = []
        """What becomes ready at a tail, with its priority."""
        for place in done:
            if place not in ready:
                again += _change_delayed(db, delayed[place], priority, due, delay)
            elif due is not None:
                lanes.delay(db, ready[place], due)
                if priority is not None:
                    db.execute("UPDATE delayed SET priority = ? WHERE no = last_insert_rowid()", (priority,))
            else:
                again.append(_row(db, ready[place], priority))
        lanes.forget(db, list(ready.values()))
        for level in dict.fromkeys(level for level, _ in again):
            rows = [row for other, row in again if other == level]
            lanes.append(db, lanes.lane_of(db, number, level), rows)
        if done:
            self._call(db, queue_topic(queue), due)
        return done

    def _steer_flow(
        self,
        db: sqlite3.Connection,
        flow: Flow,
        wanted: Sequence[str],
        ready: dict[str, int],
        delayed: dict[str, int],
        drop: bool,
        priority: int | None,
        delay: float | None,
    ) -> list[str]:
        """The same in a queue that counts."""
        done: list[str] = []
        items: list[tuple[hand.Kind, int]] = []
        for place in wanted:
            kind, no, _ = places.parse(place)
            if place in delayed:
                items.append(("delayed", delayed[place]))
            elif place in ready or (kind == "ready" and no < 0 and hand.find(flow, no)):
                items.append(("ready", no))
            else:
                continue
            done.append(place)
        due = None if delay is None or delay <= 0 else time.time() + delay
        if drop:
            hand.drop(flow, items)
        else:
            hand.change(flow, items, priority, due, delay)
        self._finish_flows(db)
        if done and due is not None:
            self._call(db, queue_topic(flow.name), due)
        return done


refuse_nothing = places.refuse_nothing  # `places` is a parameter of steer


# going through


def _columns(holding: bytes) -> str:
    return COLUMNS.format(what=FOUND if holding else ALL)


def _seen(state: State, one: Any, two: int, row: Sequence[Any], wall: float) -> Seen:
    """A task from its key and the columns that all looks read."""
    no, payload, _, count, note, parked, since, priority = row[:8]
    place = {"ready": places.ready(no), "delayed": places.delayed(no, one), "leased": places.leased(no)}[state]
    # When a task was leased, or came back from a worker that had ended, is noted nowhere.
    known = since is not None and count == 0 and state == "ready"
    return Seen(
        place,
        payload,
        state,
        priority,
        max(0.0, one - wall) if state == "delayed" else 0.0,
        max(0.0, wall - since) if known else None,
        count,
        note,
        0.0 if parked is None else wall - parked,
        one if state == "leased" else None,
        two if state == "leased" else None,
    )


def _ready(db: sqlite3.Connection, queue: int, key: list[Any] | None, holding: bytes) -> Rows:
    """By priority and id."""
    columns = _columns(holding)
    for no, priority, head in db.execute(
        "SELECT no, priority, head FROM lanes WHERE queue IN (?, ?) ORDER BY priority, no", (queue, -queue)
    ).fetchall():
        floor = no << PLACE_BITS
        if key is not None and priority < key[0]:
            continue
        low = max(floor, key[1] + 1) if key is not None and priority == key[0] else floor
        middle = max(low, floor + head)
        given = {"holding": holding, "most": steer.LOOKED_AT + 1, "priority": priority}
        if no < 0:
            for row in db.execute(LINED.format(columns=columns), {**given, "low": low, "high": floor + PLACES}):
                yield priority, row[0], row, 1
            continue
        for row in db.execute(FRONT.format(columns=columns), {**given, "low": low, "high": floor + head}):
            yield priority, row[0], row, 1
        before, lane = middle - 1, AMONG if holding else LANE
        for row in db.execute(lane.format(columns=columns), {**given, "low": middle, "high": floor + PLACES}):
            yield priority, row[0], row, row[0] - before if holding else 1
            before = row[0]


def _delayed(db: sqlite3.Connection, queue: int, key: list[Any] | None, holding: bytes) -> Rows:
    """By due time and number."""
    due, no = key or (-1e300, 0)
    given = {"holding": holding, "queue": queue, "due": due, "no": no, "most": steer.LOOKED_AT + 1}
    for row in db.execute(DELAYED.format(columns=_columns(holding)), given):
        yield row[8], row[0], row, 1


def _leased(db: sqlite3.Connection, queue: int, key: list[Any] | None, holding: bytes) -> Rows:
    """By consumer and receipt."""
    columns = _columns(holding)
    name_from, receipt_from = key or ("", 0)
    priorities = hand.priorities(db, queue)
    for name, text in db.execute(
        "SELECT name, held FROM consumers WHERE queue = ? AND state < 2 AND name >= ? AND held <> '' ORDER BY name",
        (queue, name_from),
    ).fetchall():
        for first, id, length in sorted(spans.parse(text)):
            past = max(0, receipt_from + 1 - first) if name == name_from else 0
            given = {"holding": holding, "most": steer.LOOKED_AT + 1, "priority": priorities[id >> PLACE_BITS]}
            for row in db.execute(LANE.format(columns=columns), {**given, "low": id + past, "high": id + length}):
                yield name, first + row[0] - id, row, 1


# changing


def _find(db: sqlite3.Connection, queue: int, wanted: Sequence[str]) -> tuple[dict[str, int], dict[str, int]]:
    """Those of the places at which a task of this queue is ready, with its id, or delayed, with its number."""
    heads = {floor >> PLACE_BITS: head for floor, head, _ in lanes.heads(db, queue)}
    ready, delayed = dict[str, int](), dict[str, int]()
    for place in wanted:
        state, no, due = places.parse(place)
        if state == "ready" and no >> PLACE_BITS in heads:
            in_front = no < heads[no >> PLACE_BITS]
            if db.execute(FRONT_HAS if in_front else TASKS_HAVE, (no,)).fetchone():
                ready[place] = no
        elif (
            state == "delayed"
            and db.execute("SELECT 1 FROM delayed WHERE no = ? AND queue = ? AND due = ?", (no, queue, due)).fetchone()
        ):
            delayed[place] = no
    return ready, delayed


def _reach(db: sqlite3.Connection, queue: int, ready: dict[str, int], room: int) -> bool:
    """Move what is before these tasks, and themselves, out of the lanes' middle; False if not all could be moved.

    `room` is for so many tasks in a step that has more to do; what does not fit is moved in steps of its own.
    """
    ways = []
    for floor, head, _ in lanes.heads(db, queue):
        last = max((id for id in ready.values() if floor <= id < floor + PLACES), default=0)
        if last >= head:
            ways.append((floor >> PLACE_BITS, head, last + 1))
    if sum(end - head for _, head, end in ways) > room:
        left = steer.STEP
        for lane, head, end in ways:
            left -= lanes.pass_by(db, lane, head, min(end, head + left))
        return False
    for lane, head, end in ways:
        lanes.pass_by(db, lane, head, end)
    return True


def _drop(db: sqlite3.Connection, ready: list[int], delayed: list[int]) -> None:
    """Delete, as if these had never been pushed."""
    db.executemany("DELETE FROM ids WHERE uid = (SELECT uid FROM tasks WHERE id = ?)", [(id,) for id in ready])
    db.executemany("DELETE FROM ids WHERE uid = (SELECT uid FROM delayed WHERE no = ?)", [(no,) for no in delayed])
    lanes.forget(db, ready)
    lanes.forget_delayed(db, delayed)


def _row(db: sqlite3.Connection, id: int, priority: int | None) -> tuple[int, lanes.Row]:
    """A ready task with the priority that it is to have."""
    [(own, *row)] = db.execute(
        """SELECT l.priority, t.payload, t.since, t.count, t.note, t.parked, t.uid FROM tasks t JOIN lanes l ON l.no = ?
           WHERE t.id = ?""",
        (id >> PLACE_BITS, id),
    ).fetchall()
    return own if priority is None else priority, tuple(row)


def _change_delayed(
    db: sqlite3.Connection, no: int, priority: int | None, due: float | None, delay: float | None
) -> list[tuple[int, lanes.Row]]:
    """Another priority or time for a delayed task; if it is ready now, it is taken out, and this is what it was."""
    if delay is None or due is not None:
        db.execute(
            "UPDATE delayed SET due = coalesce(?, due), priority = coalesce(?, priority) WHERE no = ?",
            (due, priority, no),
        )
        return []
    [(own, payload, count, note, parked, uid)] = db.execute(
        "SELECT priority, payload, count, note, parked, uid FROM delayed WHERE no = ?", (no,)
    ).fetchall()
    lanes.forget_delayed(db, [no])
    return [(own if priority is None else priority, (payload, time.time(), count, note, parked, uid))]
