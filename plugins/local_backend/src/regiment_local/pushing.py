"""Pushing and waiting: how tasks come in, and how those who wait for one learn of it."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Sequence

from regiment.contracts.flow import Met, Ticket
from regiment_local import lanes
from regiment_local.base import queue_topic
from regiment_local.counted import Counted
from regiment_local.flow.admitting import Admission
from regiment_local.laying import boot


class Pushing(Counted):
    """push and wait."""

    def push(
        self,
        queue: str,
        payloads: Sequence[bytes],
        *,
        priority: int,
        delay: float = 0.0,
        at: float | None = None,
        token: str,
        ids: Sequence[str] | None = None,
        id_window: float = 3600.0,
        token_window: float = 60.0,
    ) -> Sequence[int]:
        if ids is not None and len(ids) != len(payloads):
            raise ValueError(f"{len(ids)} ids for {len(payloads)} payloads; expected one for each, or None")
        wall = time.time()
        due = at if at is not None else wall + delay if delay > 0 else None
        work = (queue, payloads, priority, due, token, ids, id_window, token_window)
        if self._role == "push":
            return self._write(self._push, *work)
        # A worker's connection may lose its last steps in a power cut; a push may not.
        return self._db().durably(lambda: self._write(self._push, *work))

    def _push(
        self,
        db: sqlite3.Connection,
        queue: str,
        payloads: Sequence[bytes],
        priority: int,
        due: float | None,
        token: str,
        ids: Sequence[str] | None,
        id_window: float,
        token_window: float,
    ) -> list[int]:
        wall = time.time()
        number = self._queue(db, queue)
        key = f"{number} {token}"
        if db.execute("INSERT OR IGNORE INTO tokens VALUES (?, ?, '')", (key, wall + token_window)).rowcount == 0:
            until, text = db.execute("SELECT until, left_out FROM tokens WHERE token = ?", (key,)).fetchone()
            if until > wall:
                return json.loads(text) if text else []
            db.execute(
                "UPDATE tokens SET until = ?, left_out = '' WHERE token = ?",
                (wall + token_window, key),
            )

        left_out, payloads, uids = self._unknown(db, number, payloads, ids, wall, id_window)
        if left_out:
            db.execute("UPDATE tokens SET left_out = ? WHERE token = ?", (json.dumps(left_out), key))
        self._clean(db, wall)
        if not payloads:
            return left_out
        if due is not None and due > wall:
            rows = [(number, due, priority, payload, uids[i] if uids else None) for i, payload in enumerate(payloads)]
            self._make_delayed(db, rows)
            self._call(db, queue_topic(queue), due)
            return left_out
        self._make_ready(db, number, priority, payloads, uids, wall)
        self._call(db, queue_topic(queue))
        return left_out

    def _make_ready(
        self,
        db: sqlite3.Connection,
        queue: int,
        priority: int,
        payloads: Sequence[bytes],
        uids: Sequence[str | None] | None,
        wall: float,
    ) -> None:
        """Append these tasks to the lane of their priority."""
        lane = self._lanes.get((queue, priority))
        if lane is None:
            lane = self._lanes[queue, priority] = lanes.lane_of(db, queue, priority)
        first = lanes.tail(db, lane)
        if uids is not None:
            db.executemany(
                "INSERT INTO tasks (id, payload, since, uid) VALUES (?, ?, ?, ?)",
                [(first + i, payload, wall, uids[i]) for i, payload in enumerate(payloads)],
            )
        elif len(payloads) > 1:
            db.executemany(
                f"INSERT INTO tasks (id, payload, since) VALUES (?, ?, {wall!r})",
                enumerate(payloads, first),
            )
        else:
            db.execute("INSERT INTO tasks (id, payload, since) VALUES (?, ?, ?)", (first, payloads[0], wall))

    def _make_delayed(self, db: sqlite3.Connection, rows: Sequence[tuple[int, float, int, bytes, str | None]]) -> None:
        """Put tasks aside: queue, due (wall clock), priority, payload, id."""
        db.executemany(
            "INSERT INTO delayed (queue, due, priority, payload, count, uid) VALUES (?, ?, ?, ?, 0, ?)", rows
        )

    def _unknown(
        self,
        db: sqlite3.Connection,
        queue: int,
        payloads: Sequence[bytes],
        ids: Sequence[str] | None,
        wall: float,
        window: float,
    ) -> tuple[list[int], Sequence[bytes], list[str] | None]:
        """Indexes of the payloads to leave out, because their id is known; the others, and their ids."""
        if ids is None:
            return [], payloads, None
        if len(ids) != len(payloads):
            raise ValueError(f"{len(ids)} ids for {len(payloads)} payloads; expected one for each, or None")
        uids = [f"{queue} {id}" for id in ids]
        left_out = [index for index, uid in enumerate(uids) if not self._new_id(db, uid, wall, window)]
        if left_out:
            out = set(left_out)
            payloads = [payload for index, payload in enumerate(payloads) if index not in out]
            uids = [uid for index, uid in enumerate(uids) if index not in out]
        return left_out, payloads, uids

    def _take(
        self,
        db: sqlite3.Connection,
        admission: Admission,
        payloads: Sequence[bytes],
        tickets: Sequence[Ticket],
        ids: Sequence[str] | None,
        window: float,
    ) -> None:
        """Take these payloads with their tickets, but those whose id is known or whose key is held."""
        queue, wall = admission.flow.queue, admission.wall
        for index, (payload, ticket) in enumerate(zip(payloads, tickets, strict=True)):
            uid = None if ids is None else f"{queue} {ids[index]}"
            if uid is not None:
                admission.write()
                if self._is_known(db, uid, wall):
                    admission.mets.append(Met(index, "known"))
                    continue
            if admission.take(index, payload, ticket, uid) and uid is not None:
                db.execute("INSERT OR REPLACE INTO ids VALUES (?, ?)", (uid, wall + window))

    def _is_known(self, db: sqlite3.Connection, uid: str, wall: float) -> bool:
        """True if this id waits, runs or was pushed within its window."""
        found = db.execute("SELECT until FROM ids WHERE uid = ?", (uid,)).fetchone()
        return (found is not None and found[0] > wall) or any(
            db.execute(f"SELECT 1 FROM {table} WHERE uid = ?", (uid,)).fetchone() is not None
            for table in ("tasks", "delayed")
        )

    def _new_id(self, db: sqlite3.Connection, uid: str, wall: float, window: float) -> bool:
        """Whether this id may be pushed; if so, its window begins."""
        if self._is_known(db, uid, wall):
            return False
        db.execute("INSERT OR REPLACE INTO ids VALUES (?, ?)", (uid, wall + window))
        return True

    def wait(self, consumers: Sequence[tuple[str, str]], seconds: float, wake_fd: int | None = None) -> Sequence[str]:
        database = self._db()
        queues = [queue for queue, _ in consumers]
        pipe = self._pipe
        # A queue that was called since it was found empty, or never was, is to be asked, not waited for.
        ready = [queue for queue in queues if queue not in self._waiting]
        if ready or pipe is None:
            return ready
        dues = [due for queue in queues if (due := self._waiting[queue]) is not None]
        if dues:
            seconds = min(seconds, min(dues) - boot())
        if seconds > 0.5:
            database.rest()
        called = pipe.sleep(seconds, wake_fd)
        now = boot()
        for queue in queues:
            due = self._waiting[queue]
            if queue_topic(queue) in called or (due is not None and due <= now):
                ready.append(queue)
        for topic in called:
            self._waiting.pop(topic.removeprefix("queue:"), None)
        return ready
