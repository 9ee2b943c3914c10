"""Release: what the keeper gives back for a worker that has died, or is to begin no more."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping, Sequence

from regiment.contracts import Effect, Span
from regiment_local import spans
from regiment_local.base import queue_topic
from regiment_local.effects import NONE, Effecting
from regiment_local.flow.layout import FLOWING
from regiment_local.schema import ENDED, TAKEN, TOMBSTONE
from regiment_local.spans import Held
from regiment_local.turn import PLAIN, Ways

TOMB = "INSERT INTO consumers (queue, name, state, deadline, lease, until) VALUES (?, ?, ?, 0, 0, ?)"


class Releases(Effecting):
    """The verb of keepers."""

    def release(
        self,
        queue: str,
        consumer: str,
        done: Sequence[Span],
        suspects: Mapping[int, bytes],
        *,
        only: Span | None = None,
        close: bool = False,
        effects: Mapping[int, Sequence[Effect]] = NONE,
    ) -> None:
        self._write(self._release, queue, consumer, done, suspects, only, close, effects)

    def _release(
        self,
        db: sqlite3.Connection,
        queue: str,
        consumer: str,
        done: Sequence[Span],
        suspects: Mapping[int, bytes],
        only: Span | None,
        close: bool,
        effects: Mapping[int, Sequence[Effect]],
    ) -> None:
        number, wall = self._queue(db, queue), time.time()
        found = db.execute(
            """SELECT no, state, held, settled, terms, (SELECT paused FROM queues q WHERE q.no = consumers.queue)
               FROM consumers WHERE queue = ? AND name = ?""",
            (number, consumer),
        ).fetchone()
        if found is None:
            if close:  # R5: a join that comes late is to find that it is over
                db.execute(TOMB, (number, consumer, ENDED, wall + TOMBSTONE))
            return
        me, state, held_text, settled_text, terms, paused = found
        flow = self._begin(db, number, queue) if paused & FLOWING else None
        ways = PLAIN if flow is None else flow
        held, settled, taken = spans.parse(held_text), spans.parse(settled_text), list[Held]()
        for first, last in done:
            inside, held = spans.cut(held, first, last)
            ways.delete(db, inside)
            taken += inside
            for span in inside:
                spans.add(settled, *span)
        if effects:
            self._leave(db, queue, number, taken, effects)
        back, held = (held, []) if only is None else spans.cut(held, *only)
        for receipt in sorted(suspects):
            one, back = spans.cut(back, receipt, receipt)
            for _, id, _ in one:
                self._suspect(db, ways, id, suspects[receipt], json.loads(terms)["poison_delays"], wall)
        ways.give_back(db, back)
        if close or (state == TAKEN and not held):
            state = ENDED
        # What the keeper settled is remembered until the worker has settled it again, which is soon: 64 spans are plenty.
        db.execute(
            "UPDATE consumers SET state = ?, held = ?, settled = ?, until = ? WHERE no = ?",
            (state, spans.write(held), spans.write(settled[-64:]), wall + TOMBSTONE, me),
        )
        if flow is None:
            self._call(db, queue_topic(queue))
        self._finish_flows(db)

    def _suspect(
        self,
        db: sqlite3.Connection,
        ways: Ways,
        id: int,
        note: bytes,
        delays: Sequence[float],
        wall: float,
    ) -> None:
        """Its run ended its worker: count it, keep the evidence (R18: empty keeps the old), and delay what did it often."""
        [(count,)] = db.execute(
            "UPDATE tasks SET count = count + 1, note = coalesce(?, note) WHERE id = ? RETURNING count",
            (note or None, id),
        ).fetchall()
        delay = delays[min(count, len(delays)) - 1] if delays else 0.0
        if delay > 0:
            ways.delay(db, id, wall + delay)
        else:
            ways.give_back(db, [(0, id, 1)])
