"""The notice board: pause, cancelled ids, orders; and beside it the account of what people did.

Orders, the times of cancelled ids, and acts stand in tables of the extra `steer`, which the first of them makes
(`schema.STEER`). Until then, and for what an older release has put down since, an id is as old as the next notice.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from regiment.contracts import Act, Board, steer
from regiment_local import places, schema
from regiment_local.base import number_of, queue_topic
from regiment_local.counted import Counted
from regiment_local.flow.layout import FLOWING, PAUSED

UNCHANGED: Mapping[str, str | None] = MappingProxyType({})

Ids = dict[str, float | None]
"""Cancelled ids, with the time of their last notice."""

TRIM = """
DELETE FROM acts WHERE queue = ? AND no <= (SELECT no FROM acts WHERE queue = ? ORDER BY no DESC LIMIT 1 OFFSET ?)"""


class Notices(Counted):
    """board, post, act, acts."""

    def board(self, queue: str) -> Board:
        return self._read(lambda db: self._board(db, queue), Board())

    def _board(self, db: sqlite3.Connection, queue: str) -> Board:
        found = db.execute("SELECT no, board, paused FROM queues WHERE name = ?", (queue,)).fetchone()
        if found is None:
            return Board()
        number, version, paused = found
        return Board(
            version, bool(paused & PAUSED), frozenset(_standing(self._cancelled(db, number))), self._orders(db, number)
        )

    def _cancelled(self, db: sqlite3.Connection, number: int) -> Ids:
        """All that are in the file, also those whose time is over."""
        ids: Ids = dict.fromkeys(
            id for (id,) in db.execute("SELECT id FROM cancelled WHERE queue = ?", (number,)).fetchall()
        )
        if ids and self._has(db, "noticed"):
            # two sorted reads; a join looks each of them up
            for id, at in db.execute("SELECT id, at FROM noticed WHERE queue = ?", (number,)).fetchall():
                if id in ids:
                    ids[id] = at
        return ids

    def _orders(self, db: sqlite3.Connection, number: int) -> dict[str, str]:
        if not self._has(db, "orders"):
            return {}
        return dict(db.execute("SELECT who, what FROM orders WHERE queue = ?", (number,)).fetchall())

    def post(
        self,
        queue: str,
        *,
        paused: bool | None = None,
        cancel: Iterable[str] = (),
        clear: Iterable[str] = (),
        orders: Mapping[str, str | None] = UNCHANGED,
    ) -> int:
        return self._write(self._post, queue, paused, set(cancel), set(clear), dict(orders))

    def _post(
        self,
        db: sqlite3.Connection,
        queue: str,
        paused: bool | None,
        cancel: set[str],
        clear: set[str],
        orders: dict[str, str | None],
    ) -> int:
        number = self._queue(db, queue)
        [(version, was_paused)] = db.execute("SELECT board, paused FROM queues WHERE no = ?", (number,)).fetchall()
        if cancel or orders:
            self._make(db, "noticed", schema.STEER)
        changed = self._cancel(db, queue, number, cancel, clear)
        changed = self._order(db, number, orders) or changed
        if paused is not None and paused != bool(was_paused & PAUSED):
            db.execute("UPDATE queues SET paused = ? WHERE no = ?", (was_paused & ~PAUSED | paused, number))
            changed = True
        if not changed:
            return int(version)
        db.execute("UPDATE queues SET board = board + 1 WHERE no = ?", (number,))
        if was_paused & FLOWING:
            self._wake(db, queue)
        else:
            self._call(db, queue_topic(queue))
        return int(version) + 1

    def _cancel(self, db: sqlite3.Connection, queue: str, number: int, cancel: set[str], clear: set[str]) -> bool:
        """Put ids on the board, take others off it, and those whose time is over; True if there are others than before."""
        there, now = self._cancelled(db, number), time.time()
        standing = _standing(there)
        after = (standing | cancel) - clear
        places.refuse_many(queue, len(standing), len(after))
        gone = [(number, id) for id in there.keys() - after]
        db.executemany("DELETE FROM cancelled WHERE queue = ? AND id = ?", gone)
        db.executemany("INSERT INTO cancelled VALUES (?, ?)", [(number, id) for id in after - there.keys()])
        if self._has(db, "noticed"):
            db.executemany("DELETE FROM noticed WHERE queue = ? AND id = ?", gone)
            dated = (after & cancel) | {id for id in after & there.keys() if there[id] is None}
            db.executemany("INSERT OR REPLACE INTO noticed VALUES (?, ?, ?)", [(number, id, now) for id in dated])
        return after != there.keys()

    def _order(self, db: sqlite3.Connection, number: int, orders: dict[str, str | None]) -> bool:
        """Note orders and take others back; True if there are others than before."""
        if not orders:
            return False
        before = self._orders(db, number)
        for who, what in orders.items():
            if what is None:
                db.execute("DELETE FROM orders WHERE queue = ? AND who = ?", (number, who))
            else:
                db.execute("INSERT OR REPLACE INTO orders VALUES (?, ?, ?)", (number, who, what))
        return self._orders(db, number) != before

    # acts

    def act(self, queue: str, entry: bytes, *, token: str) -> None:
        places.refuse_large(entry)
        self._write_durably(self._act, queue, entry, token)

    def _act(self, db: sqlite3.Connection, queue: str, entry: bytes, token: str) -> None:
        self._make(db, "noticed", schema.STEER)
        number, now = self._queue(db, queue), time.time()
        db.execute("DELETE FROM acts WHERE queue = ? AND at <= ?", (number, now - steer.ACT_AGE))
        db.execute(
            "INSERT OR IGNORE INTO acts (queue, at, token, entry) VALUES (?, ?, ?, ?)", (number, now, token, entry)
        )
        db.execute(TRIM, (number, number, steer.MOST_ACTS))

    def acts(self, queue: str, limit: int = 100, *, after: str | None = None) -> Sequence[Act]:
        behind = 2**62 if after is None else places.number_in(after)

        def work(db: sqlite3.Connection) -> list[Act]:
            if not self._has(db, "acts"):
                return []
            rows = db.execute(
                "SELECT no, at, entry FROM acts WHERE queue = ? AND no < ? AND at > ? ORDER BY no DESC LIMIT ?",
                (number_of(db, queue), behind, time.time() - steer.ACT_AGE, max(0, limit)),
            )
            return [Act(str(no), at, entry) for no, at, entry in rows]

        return self._read(work, [])


def _standing(ids: Ids) -> set[str]:
    """The ids whose time is not over."""
    oldest = time.time() - steer.NOTICE_AGE
    return {id for id, at in ids.items() if at is None or at > oldest}
