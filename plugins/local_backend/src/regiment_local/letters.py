"""Dead letters: listed, looked up, revived, dropped."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping, Sequence

from regiment.contracts import Letter
from regiment_local import lanes, ledger
from regiment_local.base import number_of, queue_topic
from regiment_local.counted import Counted
from regiment_local.flow.hand import revive
from regiment_local.places import number_in

COLUMNS = "no, task_id, payload, reason, at, priority"


class Letters(Counted):
    """dead, reasons, letters, revive, drop. A letter's id is its number, which never comes again."""

    def dead(self, queue: str, limit: int = 100, *, after: str | None = None) -> Sequence[Letter]:
        return self._list(COLUMNS, queue, limit, after)

    def reasons(self, queue: str, limit: int = 100, *, after: str | None = None) -> Sequence[Letter]:
        return self._list(COLUMNS.replace("payload", "x''"), queue, limit, after)

    def _list(self, columns: str, queue: str, limit: int, after: str | None) -> Sequence[Letter]:
        behind = 2**62 if after is None else number_in(after)

        def work(db: sqlite3.Connection) -> list[Letter]:
            rows = db.execute(
                f"SELECT {columns} FROM letters WHERE queue = ? AND no < ? ORDER BY no DESC LIMIT ?",
                (number_of(db, queue), behind, max(0, limit)),
            )
            return [_letter(row) for row in rows]

        return self._read(work, [])

    def letters(self, queue: str, id: str) -> Sequence[Letter]:
        def work(db: sqlite3.Connection) -> list[Letter]:
            number = number_of(db, queue)
            rows = db.execute(
                f"""SELECT {COLUMNS} FROM letters WHERE queue = ? AND no = ?
                    UNION SELECT {COLUMNS} FROM letters WHERE queue = ? AND task_id = ? ORDER BY no DESC""",
                (number, number_in(id), number, id),
            )
            return [_letter(row) for row in rows]

        return self._read(work, [])

    def revive(self, queue: str, letters: Mapping[str, bytes | None]) -> int:
        return self._write(self._revive, queue, letters)

    def _revive(self, db: sqlite3.Connection, queue: str, letters: Mapping[str, bytes | None]) -> int:
        number, wall, revived = self._queue(db, queue), time.time(), 0
        flow, entered = self._flow_of(db, number, queue), self._has(db, "buried")
        for id, payload in letters.items():
            entries = ledger.dig(db, number_in(id)) if entered else ()
            uid = ledger.new_uid() if entries else None
            if flow is not None:
                done = revive(flow, number_in(id), payload, uid)
                if done and uid is not None:
                    ledger.restore(db, uid, entries)
                revived += done
                continue
            for old, priority in db.execute(
                "DELETE FROM letters WHERE queue = ? AND no = ? RETURNING payload, priority",
                (number, number_in(id)),
            ).fetchall():
                row = (old if payload is None else payload, wall, 0, None, None, uid)
                lanes.append(db, lanes.lane_of(db, number, priority), [row])
                if uid is not None:
                    ledger.restore(db, uid, entries)
                revived += 1
        if revived:
            db.execute("UPDATE queues SET dead = dead - ? WHERE no = ?", (revived, number))
            if flow is None:
                self._call(db, queue_topic(queue))
        self._finish_flows(db)
        return revived

    def drop(self, queue: str, ids: Sequence[str] | None = None) -> int:
        return self._write(self._drop_letters, queue, ids)

    def _drop_letters(self, db: sqlite3.Connection, queue: str, ids: Sequence[str] | None) -> int:
        number = self._queue(db, queue)
        if ids is None:
            gone = db.execute("DELETE FROM letters WHERE queue = ?", (number,)).rowcount
        else:
            gone = sum(
                db.execute("DELETE FROM letters WHERE queue = ? AND no = ?", (number, number_in(id))).rowcount
                for id in ids
            )
        db.execute("UPDATE queues SET dead = dead - ? WHERE no = ?", (gone, number))
        return gone


def _letter(row: tuple[int, str, bytes, bytes, float, int]) -> Letter:
    return Letter(str(row[0]), *row[1:])
