"""Rules, gates, and how spots stand: what is written for them and read of them, inside the caller's transaction."""

from __future__ import annotations

import sqlite3
from collections import Counter

from regiment.contracts.flow import FOREVER, Rule, Spot, Standing, Ticket
from regiment_local import lanes, spans
from regiment_local.flow import spots, uniques
from regiment_local.flow.leasing import Flow
from regiment_local.flow.spots import Spot as Row
from regiment_local.schema import PLACE_BITS

HELD = "SELECT held FROM consumers WHERE queue = ? AND state < 2 AND held <> ''"
WAITING = """
SELECT spot, count(*) FROM (SELECT spot FROM lined WHERE spot IN (SELECT no FROM spots WHERE queue = ?1)
UNION ALL SELECT spot FROM delayed WHERE queue = ?1 AND spot IS NOT NULL) GROUP BY spot"""
POOLS = "SELECT no FROM spots WHERE queue = ? AND lane = '' AND pool > ? ORDER BY pool"
LANES = "SELECT no FROM spots WHERE queue = ? AND pool = ? AND lane > ? ORDER BY lane"


def set_rule(flow: Flow, name: Spot, rule: Rule | None, operator: bool, by: str) -> None:
    """Set a rule or take it away, and let go whom it may let go."""
    spot = flow.named(*name)
    text = spots.write(rule)
    if operator:
        spot.operator = text
    else:
        spot.code = text
    column = "operator" if operator else "code"
    flow.db.execute(
        f"UPDATE spots SET {column} = ?, {column}_by = ? WHERE no = ?",
        (text, by if rule is not None else None, spot.no),
    )
    spot.dirty = True
    _look_at(flow, spot)
    if not spot.lane:
        for (no,) in flow.db.execute(
            "SELECT no FROM spots WHERE queue = ? AND pool = ? AND lane <> '' AND closed = 1", (flow.queue, spot.pool)
        ).fetchall():
            _look_at(flow, flow.spot(no))


def _look_at(flow: Flow, spot: Row) -> None:
    """Close it or open it, as its rule and its gate are now."""
    if flow.free(spot) > 0:
        if spot.closed:
            flow.open(spot)
    else:
        flow.close(spot)


def set_gate(flow: Flow, name: Spot, seconds: float | None) -> None:
    """Close a gate for so long, or open it."""
    spot = flow.named(*name)
    spot.dirty = True
    if not seconds or seconds < 0:
        spot.gate = 0.0
    elif spot.gate != FOREVER:
        spot.gate = flow.wall + seconds
    _look_at(flow, spot)


def standing(flow: Flow, name: Spot) -> Standing:
    """How a spot stands."""
    spot = flow.look(*name)
    if spot is None:
        pool = flow.look(name[0], "") if name[1] else None
        of_pool = None if pool is None else pool.own
        return Standing(name, rule=None if of_pool is None else of_pool.lanes)
    rule, own = flow.rule(spot), spot.own
    by = ""
    if own is not None:
        [(by,)] = flow.db.execute(
            f"SELECT {'operator_by' if spot.operator else 'code_by'} FROM spots WHERE no = ?", (spot.no,)
        ).fetchall()
    return Standing(
        name,
        flow.waits() if spot is flow.root else spot.waiting,
        spot.running,
        rule,
        "" if own is None else "operator" if spot.operator else "code",
        by or "",
        max(0.0, spot.gate - flow.wall),
        spot.until_rate(rule, flow.wall),
    )


def standings(flow: Flow, limit: int, pool: str | None, after: Spot | None) -> list[Standing]:
    """Those that have something, sorted."""
    found: list[Standing] = []
    if pool is None:
        if after is None:
            _add(found, standing(flow, ("", "")), limit)
        rows = flow.db.execute(POOLS, (flow.queue, "" if after is None else after[0]))
    else:
        behind = "" if after is None or after[0] != pool else after[1]
        rows = flow.db.execute(LANES, (flow.queue, pool, behind))
    for (no,) in rows:
        if len(found) >= limit:
            break
        spot = flow.spot(no)
        _add(found, standing(flow, (spot.pool, spot.lane)), limit)
    return found


def _add(found: list[Standing], one: Standing, limit: int) -> None:
    if len(found) < limit and (one.waiting or one.running or one.source or one.gate):
        found.append(one)


def recount(flow: Flow) -> list[tuple[Spot, int, int]]:
    """Spots whose counts are wrong, with the true ones, which they have then."""
    db, root = flow.db, flow.root
    waiting: Counter[int] = Counter()
    running: Counter[int] = Counter()
    for no, many in db.execute(WAITING, (flow.queue,)).fetchall():
        for spot in flow.chain(no)[:-1]:
            waiting[spot.no] += many
    for (text,) in db.execute(HELD, (flow.queue,)).fetchall():
        for _, id, length in spans.parse(text):
            for (no,) in db.execute(
                "SELECT spot FROM tasks WHERE id BETWEEN ? AND ?", (id, id + length - 1)
            ).fetchall():
                for spot in flow.chain(no):
                    running[spot.no] += 1
    [(waiting[root.no],)] = db.execute(
        "SELECT count(*) FROM lined WHERE spot IN (SELECT no FROM spots WHERE queue = ?)", (flow.queue,)
    ).fetchall()
    wrong: list[tuple[Spot, int, int]] = []
    for (no,) in db.execute("SELECT no FROM spots WHERE queue = ? ORDER BY pool, lane", (flow.queue,)).fetchall():
        spot = flow.spot(no)
        if (spot.waiting, spot.running) != (waiting[no], running[no]):
            spot.waiting, spot.running, spot.dirty = waiting[no], running[no], True
            wrong.append(((spot.pool, spot.lane), flow.waits() if spot is root else waiting[no], running[no]))
            _look_at(flow, spot)
    _recount_strands(flow)
    return wrong


def _recount_strands(flow: Flow) -> None:
    """Have each strand say what stands in it. (That of tasks without a ticket says nothing.)"""
    flow.db.execute(
        """UPDATE strands SET ready = (SELECT count(*) FROM lined l WHERE l.spot = strands.spot AND l.priority = strands.priority)
           WHERE spot <> ? AND spot IN (SELECT no FROM spots WHERE queue = ?)""",
        (flow.root.no, flow.queue),
    )


def ticket(db: sqlite3.Connection, queue: int, payload: bytes) -> Ticket | None:
    """The ticket of the first task with this payload; what runs is looked at first, for a task that runs asks most often."""
    for (held,) in db.execute("SELECT held FROM consumers WHERE queue = ? AND held <> ''", (queue,)).fetchall():
        for _, first, length in spans.parse(held):
            row = db.execute(
                """SELECT t.ticket, s.pool, s.lane FROM tasks t LEFT JOIN spots s ON s.no = t.spot
                   WHERE t.id >= ? AND t.id < ? AND t.payload = ? LIMIT 1""",
                (first, first + length, payload),
            ).fetchone()
            if row is not None:
                return _ticket(row)
    for no in [*_levels(db, queue), *_levels(db, -queue)]:
        floor = no << PLACE_BITS
        row = db.execute(
            """SELECT t.ticket, s.pool, s.lane FROM tasks t LEFT JOIN spots s ON s.no = t.spot
               WHERE t.id >= ? AND t.id < ? AND t.payload = ? LIMIT 1""",
            (floor, floor + lanes.PLACES, payload),
        ).fetchone()
        if row is not None:
            return _ticket(row)
    row = db.execute(
        """SELECT t.ticket, s.pool, s.lane FROM delayed t LEFT JOIN spots s ON s.no = t.spot
           WHERE t.queue = ? AND t.payload = ? LIMIT 1""",
        (queue, payload),
    ).fetchone()
    return None if row is None else _ticket(row)


def _levels(db: sqlite3.Connection, queue: int) -> list[int]:
    return [no for (no,) in db.execute("SELECT no FROM lanes WHERE queue = ? ORDER BY priority", (queue,)).fetchall()]


def _ticket(row: tuple[str | None, str | None, str | None]) -> Ticket | None:
    text, pool, lane = row
    if text is None and pool is None:
        return None
    return uniques.unpack(pool or "", lane or "", text)
