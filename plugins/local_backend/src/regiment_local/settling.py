"""Settlements other than success: back, again, parked, dead."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence

from regiment.contracts import Again, Back, Dead, Done, Effect, Park, Settlement
from regiment_local import lanes, ledger, spans
from regiment_local.base import queue_topic
from regiment_local.effects import Effecting
from regiment_local.schema import PLACE_BITS
from regiment_local.spans import Held
from regiment_local.turn import Turn

PROMOTED = 1000
"""Most due tasks that one exchange makes ready."""


class Settling(Effecting):
    """What becomes of a task that did not succeed."""

    def _settle_all(
        self,
        db: sqlite3.Connection,
        turn: Turn,
        settlements: Sequence[Settlement],
        effects: Mapping[int, Sequence[Effect]],
    ) -> None:
        """Each in its order; receipts that are not held are noted as lost, unless a keeper has settled them. Then the effects
        of those that were taken.
        """
        held, settled = turn.held, spans.parse(turn.settled)
        if effects:
            turn.taken = []
        for settlement in settlements:
            if type(settlement) is Done:
                first, end = settlement
                inside, held = spans.cut(held, first, end)
                turn.ways.delete(db, inside)
                if turn.taken is not None:
                    turn.taken += inside
                if spans.size(inside) != end - first + 1:
                    absent = spans.missing(inside, first, end)
                    turn.lost += [r for r in absent if not spans.cut(settled, r, r)[0]] if settled else absent
                if settled:
                    settled = spans.cut(settled, first, end)[1]
            else:
                held = self._settle(db, turn, held, settlement)
        turn.held, turn.settled = held, spans.write(settled)
        if turn.taken and self._leave(db, turn.name, turn.queue, turn.taken, effects):
            turn.returned = turn.changed = True

    def _settle(self, db: sqlite3.Connection, turn: Turn, held: list[Held], settlement: Settlement) -> list[Held]:
        """One settlement other than Done; what is still held."""
        turn.changed = True
        assert not isinstance(settlement, Done)
        first, end = (
            (settlement.first, settlement.last)
            if isinstance(settlement, Back)
            else (settlement.receipt, settlement.receipt)
        )
        inside, held = spans.cut(held, first, end)
        turn.lost += spans.missing(inside, first, end)
        if isinstance(settlement, Back):
            if turn.flow is None:
                lanes.give_back(db, inside)
            else:
                turn.flow.give_back(db, inside, back=True)
            turn.returned = turn.returned or bool(inside)
            return held
        wall = turn.wall
        if turn.taken is not None and not isinstance(settlement, Park):
            turn.taken += inside
        for _, id, _ in inside:
            if isinstance(settlement, Park):
                turn.ways.delay(db, id, wall + settlement.delay, wall)
            elif isinstance(settlement, Dead):
                self._bury(db, turn, id, settlement)
                continue
            elif isinstance(settlement, Again):
                db.execute(
                    "UPDATE tasks SET payload = ?, count = 0, note = NULL, parked = NULL, since = ? WHERE id = ?",
                    (settlement.payload, wall, id),
                )
                turn.ways.delay(db, id, wall + settlement.delay)
                if settlement.priority is not None:
                    db.execute(
                        "UPDATE delayed SET priority = ? WHERE no = last_insert_rowid()",
                        (settlement.priority,),
                    )
            turn.returned = self._tell_due(db, turn, settlement.delay) or turn.returned
        return held

    def _tell_due(self, db: sqlite3.Connection, turn: Turn, delay: float) -> bool:
        """Promote what is due at once (True), or call who knows of nothing that early."""
        if delay <= 0:
            return turn.ways.promote(db, turn.queue, turn.wall, PROMOTED) > 0
        self._call(db, queue_topic(turn.name), turn.wall + delay)
        return False

    def _bury(self, db: sqlite3.Connection, turn: Turn, id: int, dead: Dead) -> None:
        """Make a dead letter, and forget the oldest ones above the limit and the age that the consumer's terms set."""
        queue, wall = turn.queue, turn.wall
        db.execute(
            """INSERT INTO letters (queue, task_id, payload, reason, at, priority)
               SELECT ?, ?, coalesce(?, t.payload), ?, ?, l.priority FROM tasks t JOIN lanes l ON l.no = ? WHERE id = ?""",
            (queue, dead.task_id, dead.payload, dead.reason, wall, id >> PLACE_BITS, id),
        )
        if turn.entered:
            ledger.bury(db, id)
        if turn.flow is None:
            db.execute("DELETE FROM tasks WHERE id = ?", (id,))
        else:
            turn.flow.bury(db, id)
        [(text,)] = db.execute("SELECT terms FROM consumers WHERE no = ?", (turn.me,)).fetchall()
        terms = json.loads(text)
        [(letters,)] = db.execute("UPDATE queues SET dead = dead + 1 WHERE no = ? RETURNING dead", (queue,)).fetchall()
        gone = db.execute(
            """DELETE FROM letters WHERE no IN (SELECT no FROM letters WHERE queue = ? ORDER BY no LIMIT ?)""",
            (queue, max(0, letters - terms["dead_limit"])),
        ).rowcount
        gone += db.execute(
            """DELETE FROM letters WHERE no IN
               (SELECT no FROM (SELECT no, at FROM letters WHERE queue = ? ORDER BY no LIMIT 10) WHERE at < ?)""",
            (queue, wall - terms["dead_age"]),
        ).rowcount
        if gone:
            db.execute("UPDATE queues SET dead = dead - ? WHERE no = ?", (gone, queue))
