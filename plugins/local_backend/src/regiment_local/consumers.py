"""Consumers: joining, renewing, and what is taken from those that are overdue."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Sequence

from regiment.contracts import Terms
from regiment.errors import Fenced
from regiment_local import spans
from regiment_local.counted import Counted
from regiment_local.laying import boot
from regiment_local.schema import ENDED, LIVING, TAKEN, TOMBSTONE
from regiment_local.spans import Held
from regiment_local.turn import Turn

TAKEN_BACK = 1000
"""Most deliveries that one exchange takes back from overdue consumers."""


class Consumers(Counted):
    """Who may hold tasks, and until when."""

    def join(self, queue: str, consumer: str, terms: Terms) -> None:
        self._write(self._join, queue, consumer, terms)

    def _join(self, db: sqlite3.Connection, queue: str, consumer: str, terms: Terms) -> None:
        number, now = self._queue(db, queue), boot()
        db.execute("DELETE FROM consumers WHERE state = ? AND until < ?", (ENDED, time.time()))
        found = db.execute("SELECT state FROM consumers WHERE queue = ? AND name = ?", (number, consumer)).fetchone()
        if found is not None:
            if found[0] != LIVING:
                raise Fenced(f"consumer {consumer} of {queue!r} was closed or taken for dead; join under a new name")
            return
        # The gap is closed before the newcomer is in: its own deadline is not to move by it.
        self._close_gap(db, number, now, terms.lease)
        db.execute(
            "INSERT INTO consumers (queue, name, state, deadline, lease, terms) VALUES (?, ?, ?, ?, ?, ?)",
            (number, consumer, LIVING, now + terms.lease, terms.lease, json.dumps(terms._asdict())),
        )

    def _close_gap(self, db: sqlite3.Connection, queue: int, now: float, lease: float) -> None:
        """R8: if nobody touched the queue for longer than a renewal takes, the store was away, and not the workers."""
        [(stamp,)] = db.execute("SELECT stamp FROM queues WHERE no = ?", (queue,)).fetchall()
        gap = now - stamp
        if gap > lease / 3:
            db.execute(
                "UPDATE consumers SET deadline = deadline + ? WHERE queue = ? AND state = ?",
                (gap, queue, LIVING),
            )
        if gap > lease / 100:
            db.execute("UPDATE queues SET stamp = ? WHERE no = ?", (now, queue))

    def renew(self, consumers: Sequence[tuple[str, str]], seconds: float) -> Sequence[tuple[str, str]]:
        return self._write(self._renew, consumers, seconds)

    def _renew(
        self, db: sqlite3.Connection, consumers: Sequence[tuple[str, str]], seconds: float
    ) -> list[tuple[str, str]]:
        now, lost = boot(), []
        for queue, consumer in consumers:
            number = self._queue(db, queue)
            found = db.execute(
                "SELECT no, lease FROM consumers WHERE queue = ? AND name = ? AND state = ?",
                (number, consumer, LIVING),
            ).fetchone()
            if found is None:
                lost.append((queue, consumer))
                continue
            self._close_gap(db, number, now, found[1])
            db.execute(
                "UPDATE consumers SET deadline = max(deadline, ?) WHERE no = ?",
                (now + seconds, found[0]),
            )
        return lost

    def _take_back(self, db: sqlite3.Connection, turn: Turn) -> bool:
        """R6: fence the overdue consumers and take back what they held, at most so many at once; whether there was any."""
        room = TAKEN_BACK
        for no, text in db.execute(
            "SELECT no, held FROM consumers WHERE queue = ? AND state < 2 AND deadline < ? AND no <> ? ORDER BY deadline",
            (turn.queue, turn.now, turn.me),
        ).fetchall():
            taken: list[Held] = []
            rest: list[Held] = []
            for receipt, id, length in spans.parse(text):
                part = min(length, room)
                if part:
                    taken.append((receipt, id, part))
                if part < length:
                    rest.append((receipt + part, id + part, length - part))
                room -= part
            turn.ways.give_back(db, taken, more=1)
            db.execute(
                "UPDATE consumers SET state = ?, held = ?, until = ? WHERE no = ?",
                (TAKEN if rest else ENDED, spans.write(rest), turn.wall + TOMBSTONE, no),
            )
            if not room:
                break
        return room < TAKEN_BACK
